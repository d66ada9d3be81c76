"""A tokenizer as tokenizer.json describes it: text → normalizer → pre-tokenizer → model → ids, and a decoder back.

The families that have a class of their own (`byte_bpe`, `wordpiece`, `gpt_bpe`) are read into it, because it is faster;
everything else is a pipeline. Its results are those of Hugging Face's tokenizers 0.23: `encode(text, allowed="all")`
is what that library does by default, and plain `encode(text)` what it does with `encode_special_tokens` set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

from minigpt.tokenizers.base import BaseTokenizer, Offsets, check_ids, utf8
from minigpt.tokenizers.byte_alphabet import to_mapped
from minigpt.tokenizers.pipeline.bpe import Token
from minigpt.tokenizers.pipeline.cutting import Cutter, Metaspace, ToBytes, cut_all
from minigpt.tokenizers.pipeline.decoders import Decoder
from minigpt.tokenizers.pipeline.normalizers import Normalizer, Sequence, normalize
from minigpt.tokenizers.pipeline.stretch import Stretch
from minigpt.tokenizers.special import SpecialTokens

CACHE_SIZE = 1 << 17  # words remembered
CACHED_LENGTH = 256  # characters of the longest word that is
_BYTE = re.compile("<0x[0-9A-F]{2}>")  # a byte of a character that the vocabulary lacks


class Model(Protocol):
    """What turns one word into tokens."""

    vocab: Mapping[str, int]

    def tokens(self, word: str) -> list[Token]: ...


@dataclass
class Parts:
    """The parts of a pipeline.

    Attributes:
        special: the added tokens, all of them.
        late: those of them that are looked for after the normalizer, not before it: name -> its normalized form.
        quiet: the special tokens that decoding leaves out.
        source: the tokenizer.json that all of it comes from.
    """

    kind: str
    model: Model
    special: SpecialTokens
    normalizer: Normalizer = field(default_factory=Sequence)
    cutters: list[Cutter] = field(default_factory=list)
    decoder: Decoder | None = None
    late: Mapping[str, str] = field(default_factory=dict)
    quiet: Collection[str] = ()
    source: Mapping = field(default_factory=dict)


class Pipeline(BaseTokenizer):
    """The tokenizer that some parts make."""

    def __init__(self, parts: Parts):
        self.parts, self.kind, self.special = parts, parts.kind, parts.special
        self.model = parts.model
        ids = self.special.ids
        self.vocab_size = 1 + max(chain(self.model.vocab.values(), ids.values()), default=-1)
        self._names = {i: s for s, i in self.model.vocab.items()} | {i: s for s, i in ids.items()}
        late = {ids[name]: shown for name, shown in parts.late.items()}  # which decoding shows as they are found
        self._shown = self._names | late
        self._quiet = {ids[name] for name in parts.quiet if self._shown[ids[name]] in parts.quiet}
        self._early = _part_of(self.special, {name: name for name in ids if name not in parts.late})
        self._late = _part_of(self.special, parts.late)
        self._maps = bool(parts.cutters) and isinstance(parts.cutters[-1], ToBytes)
        self._cutters = (
            parts.cutters[:-1] if self._maps else parts.cutters
        )  # the last step can wait for the cache to miss
        self._ids = _Cache(self._mapped_ids if self._maps else self._word_ids)
        first = [n for n, c in enumerate(parts.cutters) if isinstance(c, Metaspace) and c.scheme == "first"]
        self._counts_places = bool(first) and (first[0] > 0 or bool(parts.late))

    def encode(
        self, text: str, *, allowed: Collection[str] | str = (), forbidden: Collection[str] | str = ()
    ) -> list[int]:
        """Return the token ids of `text`; see `BaseTokenizer`."""
        if not text.isascii():
            utf8(text)
        ids: list[int] = []
        remembered = self._ids
        for part in self._parts_of(text, allowed, forbidden, aligned=self._counts_places):
            if isinstance(part, tuple):
                ids.append(part[0])
                continue
            for word in cut_all(self._cutters, part):
                ids += remembered[word.text]
        return ids

    def _located(
        self, text: str, allowed: Collection[str] | str, forbidden: Collection[str] | str
    ) -> tuple[list[int], Offsets, dict[int, str]]:
        utf8(text)
        ids: list[int] = []
        offsets: Offsets = []
        added: dict[int, str] = {}
        for part in self._parts_of(text, allowed, forbidden, aligned=True):
            if isinstance(part, tuple):
                added[len(ids)] = text[part[1] : part[2]]
                ids.append(part[0])
                offsets.append(part[1:])
                continue
            for word in cut_all(self.parts.cutters, part):
                tokens = self.model.tokens(word.text)
                ids += [i for i, _, _ in tokens]
                offsets += _spans(word, tokens)
        return ids, offsets, added

    def _parts_of(
        self, text: str, allowed: Collection[str] | str, forbidden: Collection[str] | str, *, aligned: bool
    ) -> Iterator[Stretch | tuple[int, int, int]]:
        """The text as normalized stretches, and added tokens as (id, start, end)."""
        allowed = self.special.select(allowed)
        forbidden = self.special.select(forbidden)
        late = self.parts.late
        late_allowed = {late[name] for name in allowed if name in late}
        late_forbidden = {late[name] for name in forbidden if name in late}
        early_allowed, early_forbidden = allowed - late.keys(), forbidden - late.keys()
        for start, end, special in self._early.split(text, early_allowed, early_forbidden):
            if special is not None:
                yield special, start, end
                continue
            stretch = normalize(self.parts.normalizer, Stretch.of(text, start, end, aligned=aligned))
            for a, b, found in self._late.split(stretch.text, late_allowed, late_forbidden):
                part = stretch.slice(a, b)
                if found is None:
                    yield part
                else:
                    spans = part.spans or [(0, 0)]
                    yield found, spans[0][0], spans[-1][1]

    def _word_ids(self, word: str) -> list[int]:
        return [i for i, _, _ in self.model.tokens(word)]

    def _mapped_ids(self, word: str) -> list[int]:
        return self._word_ids(to_mapped(word.encode("utf-8")))

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`. What the decoder of the file does is done, after special tokens were left out
        (byte-level tokenizers show them).
        """
        names = self._shown
        tokens = [names[i] for i in check_ids(ids, self.vocab_size) if i in names and i not in self._quiet]
        if self.parts.decoder is None:
            return " ".join(tokens)
        return "".join(self.parts.decoder.decode(tokens))

    def byte_count(self, ids: Iterable[int]) -> int:
        """How many bytes the ids stand for, each alone: also where a character is spelled by its bytes."""
        names = (self._names.get(i, "") for i in check_ids(ids, self.vocab_size))
        return sum(len(s) if self._maps else 1 if _BYTE.fullmatch(s) else len(s.encode("utf-8")) for s in names)

    def token(self, i: int) -> str:
        """The token with id `i`."""
        return self._names.get(i, "")

    def to_json(self) -> dict:
        """The tokenizer.json that the pipeline was read from."""
        return dict(self.parts.source)


def _part_of(special: SpecialTokens, names: Mapping[str, str]) -> SpecialTokens:
    """Some of the special tokens, by other names."""
    ids: dict[str, int] = {}
    for name, other in names.items():
        ids.setdefault(other, special.ids[name])

    def renamed(some: Collection[str]) -> list[str]:
        return [names[name] for name in some if name in names]

    flags = (special.absorb_left, special.absorb_right, special.single_word, special.always)
    return SpecialTokens(ids, *map(renamed, flags))


def _spans(word: Stretch, tokens: list[Token]) -> Offsets:
    """The original characters of a word's tokens, whose places are counted in its bytes."""
    spans, text = word.spans, word.text
    if text.isascii():
        return [(spans[a][0], spans[b - 1][1]) for _, a, b in tokens]
    which = [n for n, c in enumerate(text) for _ in c.encode("utf-8")]
    return [(spans[which[a]][0], spans[which[b - 1]][1]) for _, a, b in tokens]


class _Cache(dict):
    """A dictionary that computes what it lacks and starts afresh when it is full."""

    def __init__(self, compute: Callable[[str], list[int]]):
        super().__init__()
        self._compute = compute

    def __missing__(self, word: str) -> list[int]:
        ids = self._compute(word)
        if len(word) <= CACHED_LENGTH:
            if len(self) >= CACHE_SIZE:
                self.clear()
            self[word] = ids
        return ids
