"""What WordPiece and GPT's BPE have in common: a text becomes words, and every word pieces by itself."""

from __future__ import annotations

from collections.abc import Mapping

from minigpt.core.errors import UserError
from minigpt.tokenizers.base import Offsets, Tokenizer, utf8
from minigpt.tokenizers.bert_words import BertWords
from minigpt.tokenizers.cache import Cache
from minigpt.tokenizers.gpt_words import GPTWords
from minigpt.tokenizers.special import SpecialTokens


class WordTokenizer(Tokenizer):
    """A vocabulary (string -> id), and what cuts a text into the words that a subclass's `_pieces` cuts further.

    Raises:
        UserError: the vocabulary lacks the unknown token, which `what` it is needs.
    """

    def __init__(
        self,
        vocab: Mapping[str, int],
        special_tokens: Mapping[str, int],
        words: BertWords | GPTWords,
        unknown: str,
        what: str,
    ):
        if unknown not in vocab:
            raise UserError(f"{what} needs the token {unknown}, for words that it cannot spell")
        self.vocab, self.words, self.unknown = dict(vocab), words, unknown
        self.special = SpecialTokens.of(special_tokens)
        self.name_ids(self.vocab)
        self._cache, self._cuts = Cache(self._word_ids), Cache(self._pieces)

    def _encode(self, text: str) -> list[int]:
        if not text.isascii():
            utf8(text)
        ids: list[int] = []
        cache = self._cache
        for word in self.words.words(text):
            ids += cache[word]
        return ids

    def _encode_with_offsets(self, text: str) -> tuple[list[int], Offsets]:
        utf8(text)
        ids: list[int] = []
        offsets: Offsets = []
        for word in self.words.stretches(text):
            position = 0
            for i, length in self._cuts[word.text]:
                ids.append(i)
                offsets.append(word.span(position, position + length))
                position += length
        return ids, offsets

    def _word_ids(self, word: str) -> list[int]:
        return [i for i, _ in self._pieces(word)]

    def _pieces(self, word: str) -> list[tuple[int, int]]:
        """The (id, number of characters) of a word's tokens."""
        raise NotImplementedError

    def last_cut(self, text: str) -> int:
        """No token reaches from one word into the next."""
        return self.words.last_cut(text)
