"""Models that know whole words: WordLevel, and WordPiece as tokenizer.json describes it."""

from __future__ import annotations

from collections.abc import Mapping

from minigpt.core.errors import UserError
from minigpt.tokenizers.pipeline.bpe import Token


class WordLevel:
    """A word is a token, or unknown."""

    def __init__(self, vocab: Mapping[str, int], unknown: str):
        self.vocab, self.unknown = vocab, vocab.get(unknown)

    def tokens(self, word: str) -> list[Token]:
        """The tokens of a word."""
        i = self.vocab.get(word, self.unknown)
        if i is None:
            raise UserError(f"this tokenizer has no token for the word {word[:80]!r}, nor an unknown token")
        return [(i, 0, len(word.encode("utf-8")))]


class WordPieces:
    """The longest pieces of a vocabulary from left to right; a word that they do not spell is one unknown token.

    Raises:
        ValueError: the vocabulary lacks the unknown token.
    """

    def __init__(self, vocab: Mapping[str, int], unknown: str, prefix: str, longest_word: int):
        if unknown not in vocab:
            raise ValueError(f"its vocabulary lacks its unknown token {unknown}")
        self.vocab, self.unknown, self.prefix, self.longest_word = vocab, vocab[unknown], prefix, longest_word
        self._longest = max(map(len, vocab), default=0)

    def tokens(self, word: str) -> list[Token]:
        """The tokens of a word."""
        unknown = [(self.unknown, 0, len(word.encode("utf-8")))]
        if len(word) > self.longest_word:
            return unknown
        found: list[Token] = []
        start = position = 0
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                piece = word[start:end]
                i = self.vocab.get(self.prefix + piece if start else piece)
                if i is not None:
                    break
            else:
                return unknown
            length = len(piece.encode("utf-8"))
            found.append((i, position, position + length))
            start, position = end, position + length
        return found
