"""Byte-level byte-pair encoding: the tokenizer of GPT-2, GPT-3, BART and Llama 3, and of our own models.

Text is cut into pre-tokens, each pre-token becomes its UTF-8 bytes, and learned merges join bytes into tokens. Every
text has an encoding, and every sequence of ids a decoding.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from threading import Lock

import numpy as np

from minigpt.core.errors import UserError
from minigpt.tokenizers.base import Offsets, Tokenizer, check_ids, utf8
from minigpt.tokenizers.byte_alphabet import BYTE_TO_CHAR, CHAR_TO_BYTE, SORTED_ORDER, from_mapped
from minigpt.tokenizers.cache import Cache
from minigpt.tokenizers.json_parts import bpe_model, byte_level, document, split
from minigpt.tokenizers.learn_merges import check_size, learn_merges
from minigpt.tokenizers.merge import LONG, Merges, merge_word
from minigpt.tokenizers.merge_batch import NEVER, PairTable, merge_words
from minigpt.tokenizers.patterns import GPT2_PATTERN, resolve_pattern
from minigpt.tokenizers.pretokens import PreTokenizer
from minigpt.tokenizers.special import SpecialTokens
from minigpt.tokenizers.stretches import Stretches
from minigpt.tokenizers.word_numbers import Remembered, WordNumbers, distinct

MANY = 4000  # characters from which it pays to look at all of a text together
FEW = 300  # words up to which each is merged by itself
_AT_ONCE = 1 << 18  # chunks looked at together, which bounds what that needs
_ONE_AT_A_TIME = Lock()  # looking up chunks changes what is remembered of them, and threads may share a tokenizer


class ByteBPE(Tokenizer):
    """Byte-level BPE from a vocabulary (mapped string -> id) and merges (pairs of strings, in order).

    Args:
        vocab: ids of all tokens, as strings of mapped bytes (`byte_alphabet`).
        merges: pairs of such strings, earliest first.
        special_tokens: names and ids; in `vocab` they may be left out.
        pattern: the pre-tokenization pattern.
        absorb_left: special tokens that swallow the white space before them.
        whole_words: a pre-token that is itself a token becomes that token without any merging, as in tiktoken and
            Llama 3. Where the merges come from training this changes no ids and saves half of the merging.

    Raises:
        UserError: a merge names a token that the vocabulary lacks, or the pattern is not valid.
    """

    kind = "bpe"

    def __init__(
        self,
        vocab: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        *,
        special_tokens: Mapping[str, int] | None = None,
        pattern: str = GPT2_PATTERN,
        absorb_left: Collection[str] = (),
        whole_words: bool = False,
    ):
        self.vocab, self.merges, self.whole_words = dict(vocab), [tuple(m) for m in merges], whole_words
        self.special = SpecialTokens.of(special_tokens or {}, absorb_left)
        self.pattern, self.pretokenizer = pattern, PreTokenizer(pattern)
        self.name_ids(self.vocab)
        self._bytes = self._token_bytes()
        self._byte_ids = [self.vocab.get(BYTE_TO_CHAR[b], -1) for b in range(256)]
        self._merges = Merges.named(self.vocab, ((a, b, a + b) for a, b in self.merges))
        self._table: PairTable | None = None  # made when many words are met at once
        self._words = Cache(self._encode_word)
        self._chunks = Remembered()

    @classmethod
    def train(
        cls,
        blocks: Iterable[str],
        vocab_size: int,
        *,
        special_tokens: Sequence[str] = (),
        pattern: str = GPT2_PATTERN,
        min_frequency: int = 0,
        progress: Callable[[int], object] = lambda n: None,
    ) -> ByteBPE:
        """Learn a vocabulary of `vocab_size` tokens from the lines of `blocks`, pieces of text that are whole lines
        (`pretokens.line_blocks` makes them from any pieces). The pattern is a name or an expression (`patterns`).

        Ids are the special tokens, then the 256 bytes in the order of their mapped characters, then the merges in
        creation order (`learn_merges` says which comes first). Memory grows with the distinct words of the text.

        Raises:
            UserError: `vocab_size` leaves no room for the bytes, or there is no text.
        """
        check_names(special_tokens)
        tokens = list(dict.fromkeys([*special_tokens, *SORTED_ORDER]))
        check_size(vocab_size, tokens, f"byte-level BPE: the 256 bytes and {len(special_tokens)} special tokens")
        pattern = resolve_pattern(pattern)
        counts = PreTokenizer(pattern).count(blocks)
        if not counts:
            raise UserError("there is no text to train a tokenizer on")
        ids = {s: i for i, s in enumerate(tokens)}
        symbols = {b: chr(ids[c]) for b, c in BYTE_TO_CHAR.items()}  # byte -> the character of its id
        words = {utf8(w).decode("latin-1").translate(symbols): n for w, n in counts.items()}
        learned = learn_merges(words, tokens, vocab_size, min_frequency=min_frequency, progress=progress)
        vocab, merges = learned.strings()
        return cls(
            vocab,
            merges,
            special_tokens={name: ids[name] for name in special_tokens},
            pattern=pattern,
            whole_words=made_by_training(tokens, merges),
        )

    def _encode(self, text: str) -> list[int]:
        if not text.isascii():
            utf8(text)  # an error for what UTF-8 cannot hold, before any of it reaches a cache
        plainly = len(text) < MANY or -1 in self._byte_ids or len(self.merges) >= NEVER
        chunks = None if plainly else self.pretokenizer.chunks(text)
        if chunks is None:
            return self._encode_words(text)
        ids: list[int] = []
        for i in range(0, len(chunks.start), _AT_ONCE):
            with _ONE_AT_A_TIME:
                ids += self._chunks.ids(chunks.some(slice(i, i + _AT_ONCE)), self._encode_chunks).tolist()
        return ids

    def _encode_chunks(self, chunks: Stretches) -> Stretches:
        """The ids of distinct chunks; their words are merged side by side."""
        words, own = self.pretokenizer.cut_chunks(chunks)
        different, which = distinct(words)
        ids = self._encode_many(different).some(which).joined()
        start, last = ids.start[own.start], own.start + own.size - 1
        return Stretches(ids.items, start, ids.start[last] + ids.size[last] - start)

    def _encode_many(self, words: Stretches) -> Stretches:
        """The ids of many words: those of the vocabulary, those merged side by side, and few or long ones."""
        if self._table is None:
            self._table = PairTable(self._merges, np.array(self._byte_ids, np.int32))
            known = {data: ids for data, ids in self._whole.items() if data and 0 not in data}
            self._tokens = WordNumbers()
            numbers = self._tokens.number(Stretches.of(list(known), np.uint8))
            self._token_ids = np.full(self._tokens.count + 2, -1, np.int32)  # two for words without a number, −1 or −2
            self._token_ids[numbers] = np.frombuffer(b"".join(known.values()), np.int32)
        ids = self._token_ids[self._tokens.find(words)]
        whole, rest = np.flatnonzero(ids >= 0), np.flatnonzero(ids < 0)
        short = rest[words.size[rest] < LONG] if len(rest) >= FEW else rest[:0]
        alone = np.setdiff1d(rest, short)
        parts = (
            (whole, Stretches(ids[whole], np.arange(len(whole)), np.ones(len(whole), np.int64))),
            (short, merge_words(words.some(short), self._table)),
            (alone, Stretches.of([self._encode_bytes(words.one(i).tobytes()) for i in alone.tolist()], np.int32)),
        )
        return Stretches.together(parts)

    def _encode_words(self, text: str) -> list[int]:
        """The plain way: pre-tokens, each looked up in the cache of words."""
        return _unpacked(b"".join(map(self._words.__getitem__, self.pretokenizer.words(text))))

    def _encode_word(self, word: str) -> bytes:
        return self._encode_bytes(word.encode("utf-8", "surrogateescape"))

    def _encode_bytes(self, data: bytes) -> bytes:
        """The packed ids of one pre-token."""
        if (whole := self._whole.get(data)) is not None:
            return whole
        symbols = [self._byte_ids[b] for b in data]
        if -1 in symbols:  # a byte that the vocabulary lacks has no token, as in Hugging Face's tokenizers
            symbols = [s for s in symbols if s >= 0]
        return _packed(merge_word(symbols, self._merges))

    def encode_bytes(self, data: bytes) -> list[int]:
        """Encode any bytes: like `encode` where they are UTF-8, and as what they are where they are not."""
        return self._encode_words(data.decode("utf-8", "surrogateescape"))

    def _encode_with_offsets(self, text: str) -> tuple[list[int], Offsets]:
        utf8(text)
        ids: list[int] = []
        offsets: Offsets = []
        start = 0
        for word in self.pretokenizer.words(text):
            new = _unpacked(self._words[word])
            ids += new
            # which[k] is the character that byte k belongs to
            which = [start + i for i, c in enumerate(word) for _ in c.encode("utf-8")]
            position = 0
            for i in new:
                end = position + len(self._bytes[i])
                offsets.append((which[position], which[end - 1] + 1))
                position = end
            start += len(word)
        return ids, offsets

    def last_cut(self, text: str) -> int:
        """No token reaches over the end of a pre-token; where those end is known of the patterns that have names."""
        return self.pretokenizer.last_cut(text)

    def forget(self) -> None:
        """Empty the caches of words, as if nothing had been encoded yet."""
        self._words.clear()
        self._chunks.clear()

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; bytes that are not UTF-8 (half a character, say) become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def byte_count(self, ids: Iterable[int]) -> int:
        """How many bytes the ids stand for, also where a character was cut in two."""
        return len(self.decode_bytes(ids))

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of `ids`. An id below `vocab_size` that no token has stands for nothing."""
        get = self._bytes.get
        return b"".join([get(i, b"") for i in check_ids(ids, self.vocab_size)])

    def bytes_of_tokens(self) -> dict[int, bytes]:
        """The bytes of every token, by id: what tiktoken calls the mergeable ranks, and the special tokens' names."""
        return dict(self._bytes)

    def to_json(self) -> dict:
        """A byte-level BPE. GPT-2's pattern is the ByteLevel pre-tokenizer's own; any other is a Split before it."""
        own_pattern = self.pattern == GPT2_PATTERN
        to_bytes = byte_level(use_regex=own_pattern)
        pre_tokenizer = to_bytes
        if not own_pattern:
            pre_tokenizer = {"type": "Sequence", "pretokenizers": [split(self.pattern, "Isolated"), to_bytes]}
        taken = set(self.vocab.values())  # the reader numbers special tokens that the vocabulary lacks by itself
        vocab = self.vocab | {name: i for name, i in self.special.ids.items() if i not in taken}
        trimming = {} if self.trim is None else {"trim_offsets": True, "add_prefix_space": self.trim.prefix_space}
        return document(
            self,
            bpe_model(vocab, self.merges, ignore_merges=self.whole_words),
            pre_tokenizer=pre_tokenizer,
            post_processor=to_bytes | trimming,
            decoder=to_bytes,
        )

    def _token_bytes(self) -> dict[int, bytes]:
        """The bytes that each id decodes to: mapped bytes, or a special token's (or stray entry's) own text."""
        special = set(self.special.ids.values())
        known = CHAR_TO_BYTE.keys()
        table = {i: from_mapped(s) if i not in special and known >= set(s) else utf8(s) for s, i in self.vocab.items()}
        return table | {i: utf8(s) for s, i in self.special.ids.items()}

    @cached_property
    def _whole(self) -> dict[bytes, bytes]:
        special = set(self.special.ids.values()) if self.whole_words else self._bytes
        return {data: _packed([i]) for i, data in self._bytes.items() if i not in special}


def _packed(ids: list[int]) -> bytes:
    """Ids as a string of bytes: many are joined in one go, and Python's garbage collector need not look at them."""
    return array("i", ids).tobytes()


def _unpacked(packed: bytes) -> list[int]:
    return np.frombuffer(packed, np.int32).tolist()


def check_names(special_tokens: Iterable[str]) -> None:
    """Refuse special tokens that could be mistaken for bytes: the vocabulary writes byte 0xE9 as é, a space as Ġ.

    Raises:
        UserError: a name consists of such symbols and is not plain ASCII (ASCII is written as itself).
    """
    for name in special_tokens:
        if set(name) <= CHAR_TO_BYTE.keys() and not name.isascii():
            raise UserError(
                f"the special token {name!r} is written like bytes of ordinary text in a byte-level vocabulary; "
                "choose a name such as <|name|>"
            )


def made_by_training(alphabet: Iterable[str], merges: Iterable[tuple[str, str]]) -> bool:
    """Whether every merge joins two tokens that exist by then into a new one, as training does.

    Then merging the bytes of any token gives that token, so it may be looked up whole. For at training time the token
    arose in some word from merges inside its own stretch of bytes only (one across the border would have kept it from
    arising there), and these merges happen in the same order when the stretch stands alone.
    """
    known = set(alphabet)
    for a, b in merges:
        if a not in known or b not in known or a + b in known:
            return False
        known.add(a + b)
    return True
