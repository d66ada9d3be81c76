"""What WordPiece and GPT's BPE have in common: a text becomes words, and every word pieces by itself."""

from __future__ import annotations

from collections.abc import Mapping

from minigpt.core.errors import UserError
from minigpt.tokenizers.base import Offsets, Tokenizer, utf8
from minigpt.tokenizers.bert_words import BertWords
from minigpt.tokenizers.cache import Cache
from minigpt.tokenizers.gpt_words import GPTWords
from minigpt.tokenizers.pipeline.bpe import Token
from minigpt.tokenizers.pipeline.tokenizer import Model
from minigpt.tokenizers.special import SpecialTokens


class WordTokenizer(Tokenizer):
    """A vocabulary (string -> id), and what cuts a text into the words that a subclass's `model` makes tokens of.

    Raises:
        UserError: the vocabulary lacks the unknown token, which `what` it is needs.
    """

    model: Model

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
        self._cache, self._tokens = Cache(self._word_ids), Cache(self._word_tokens)

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
            tokens = self._tokens[word.text]
            ids += [i for i, _, _ in tokens]
            offsets += word.spans_of(tokens)
        return ids, offsets

    def _word_ids(self, word: str) -> list[int]:
        return [i for i, _, _ in self.model.tokens(word)]

    def _word_tokens(self, word: str) -> list[Token]:
        return self.model.tokens(word)

    def last_cut(self, text: str) -> int:
        """No token reaches from one word into the next."""
        return self.words.last_cut(text)
