"""WordPiece, BERT's tokenizer: words from the basic tokenizer, each cut into the longest pieces of a vocabulary.

A piece that continues a word is written with ## in front. A word that cannot be cut is one unknown token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from minigpt.core.errors import UserError
from minigpt.tokenizers.base import BaseTokenizer, Offsets, check_ids, utf8
from minigpt.tokenizers.bert_words import BertWords
from minigpt.tokenizers.json_parts import document
from minigpt.tokenizers.pipeline.decoders import clean_up
from minigpt.tokenizers.special import SpecialTokens
from minigpt.tokenizers.template import bert_template, template_to_json
from minigpt.tokenizers.wordpiece_train import learn_pieces

BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LONGEST_WORD = {"hf": 100, "google": 200}  # longer words are unknown
CACHE_SIZE = 1 << 18


class WordPiece(BaseTokenizer):
    """WordPiece from a vocabulary (string -> id).

    Args:
        vocab: ids of all tokens, special ones included; pieces inside a word begin with `prefix`.
        special_tokens: the names in `vocab` that are special.
        words: the basic tokenizer, whose rule ("hf" or "google") also says how long a word may be.
        unknown: the token for a word that cannot be cut.
        longest_word: characters beyond which a word is unknown; by default the rule's own limit.
        cleanup: decoding leaves out the spaces that English does not write, as before full stops.

    Raises:
        UserError: the vocabulary lacks the unknown token.
    """

    kind = "wordpiece"

    def __init__(
        self,
        vocab: Mapping[str, int],
        *,
        special_tokens: Mapping[str, int] | None = None,
        words: BertWords | None = None,
        unknown: str = "[UNK]",
        prefix: str = "##",
        longest_word: int | None = None,
        cleanup: bool = False,
    ):
        if unknown not in vocab:
            raise UserError(f"a WordPiece vocabulary needs the token {unknown}, for words that it cannot spell")
        self.vocab, self.words, self.unknown, self.prefix = dict(vocab), words or BertWords(), unknown, prefix
        if special_tokens is None:
            special_tokens = {name: vocab[name] for name in BERT_SPECIAL if name in vocab}
        self.special = SpecialTokens(special_tokens)
        if {"[CLS]", "[SEP]"} <= self.special.ids.keys():
            self.template = bert_template(self.special.ids["[CLS]"], self.special.ids["[SEP]"])
        self.cleanup = cleanup
        self.longest_word = LONGEST_WORD[self.words.rule] if longest_word is None else longest_word
        self.vocab_size = 1 + max(*self.vocab.values(), *self.special.ids.values(), 0)
        self._tokens = {i: s for s, i in self.vocab.items()} | {i: s for s, i in self.special.ids.items()}
        self._first = {s: i for s, i in self.vocab.items()}
        self._next = {s[len(prefix) :]: i for s, i in self.vocab.items() if s.startswith(prefix)}
        self._longest_piece = max(map(len, self.vocab), default=0)
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def train(
        cls,
        blocks: Iterable[str],
        vocab_size: int,
        *,
        special_tokens: Sequence[str] = BERT_SPECIAL,
        words: BertWords | None = None,
        score: str = "count",
        min_frequency: int = 0,
        progress: Callable[[int], object] = lambda n: None,
    ) -> WordPiece:
        """Learn a vocabulary of `vocab_size` pieces from the words of `blocks`.

        Ids are the special tokens, the characters that begin a word or stand alone in code-point order, those that
        continue one (##), then the pieces in creation order. `wordpiece_train` explains the two scoring rules.

        Raises:
            UserError: `vocab_size` leaves no room for the characters of the text, or there is no text.
        """
        words = words or BertWords()
        counts: dict[str, int] = {}
        for block in blocks:
            for word in words.words(block):
                counts[word] = counts.get(word, 0) + 1
        if not counts:
            raise UserError("there is no text to train a tokenizer on")
        special = list(dict.fromkeys([*special_tokens, "[UNK]"]))
        tokens = learn_pieces(counts, special, vocab_size, score=score, min_frequency=min_frequency, progress=progress)
        vocab = {s: i for i, s in enumerate(tokens)}
        return cls(vocab, special_tokens={s: vocab[s] for s in special}, words=words)

    def _encode(self, text: str) -> list[int]:
        if not text.isascii():
            utf8(text)
        ids: list[int] = []
        cache = self._cache
        for word in self.words.words(text):
            found = cache.get(word)
            if found is None:
                found = [i for i, _ in self._pieces(word)]
                if len(cache) >= CACHE_SIZE:
                    cache.clear()
                cache[word] = found
            ids += found
        return ids

    def _encode_with_offsets(self, text: str) -> tuple[list[int], Offsets]:
        utf8(text)
        ids: list[int] = []
        offsets: Offsets = []
        aligned, words = self.words.words_with_spans(text)
        for word, start, _ in words:
            position = start
            for i, length in self._pieces(word):
                ids.append(i)
                offsets.append(aligned.span(position, position + length))
                position += length
        return ids, offsets

    def _pieces(self, word: str) -> list[tuple[int, int]]:
        """The (id, number of characters) of the pieces of a word: the longest match first, from left to right."""
        unknown = [(self.vocab[self.unknown], len(word))]
        if len(word) > self.longest_word:
            return unknown
        pieces: list[tuple[int, int]] = []
        start, table = 0, self._first
        while start < len(word):
            for end in range(min(len(word), start + self._longest_piece), start, -1):
                if (i := table.get(word[start:end])) is not None:
                    break
            else:
                return unknown
            pieces.append((i, end - start))
            start, table = end, self._next
        return pieces

    def decode(self, ids: Iterable[int]) -> str:
        """Return the words of `ids`, joined by spaces, pieces with ## glued on; the spacing of the text is lost."""
        tokens = [self._tokens.get(i, self.unknown) for i in check_ids(ids, self.vocab_size)]
        parts = [
            t[len(self.prefix) :] if n and t.startswith(self.prefix) and t != self.prefix else f" {t}"
            for n, t in enumerate(tokens)
        ]
        return "".join(map(clean_up, parts) if self.cleanup else parts).removeprefix(" ")

    def last_cut(self, text: str) -> int:
        """No piece reaches from one word into the next."""
        return self.words.last_cut(text)

    def token(self, i: int) -> str:
        """The token with id `i`."""
        return self._tokens.get(i, "")

    def to_json(self) -> dict:
        """A WordPiece. BertNormalizer is the "hf" rule; a file with the "google" rule says so under "minigpt"."""
        words = self.words
        normalizer = {
            "type": "BertNormalizer",
            "clean_text": words.clean,
            "handle_chinese_chars": words.split_cjk,
            "strip_accents": words.strip_accents,
            "lowercase": words.lower,
        }
        model = {
            "type": "WordPiece",
            "unk_token": self.unknown,
            "continuing_subword_prefix": self.prefix,
            "max_input_chars_per_word": self.longest_word,
            "minigpt": {"rule": words.rule},
            "vocab": self.vocab,
        }
        return document(
            model,
            self.special,
            normalizer=normalizer,
            pre_tokenizer={"type": "BertPreTokenizer"},
            post_processor=template_to_json(self.template, self.token),
            decoder={"type": "WordPiece", "prefix": self.prefix, "cleanup": self.cleanup},
        )
