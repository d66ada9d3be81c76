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
        self.vocab, self.unknown, self.longest_word = vocab, vocab[unknown], longest_word
        self._next = {s[len(prefix) :]: i for s, i in vocab.items() if s.startswith(prefix)}
        self._longest = max(map(len, vocab), default=0)

    def tokens(self, word: str) -> list[Token]:
        """The tokens of a word."""
        if len(word) > self.longest_word:
            return self._unknown(word)
        found: list[Token] = []
        start, place, table, ascii = 0, 0, self.vocab, word.isascii()
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                if (i := table.get(word[start:end])) is not None:
                    break
            else:
                return self._unknown(word)
            after = end if ascii else place + len(word[start:end].encode("utf-8"))
            found.append((i, place, after))
            start, place, table = end, after, self._next
        return found

    def _unknown(self, word: str) -> list[Token]:
        return [(self.unknown, 0, len(word.encode("utf-8")))]
