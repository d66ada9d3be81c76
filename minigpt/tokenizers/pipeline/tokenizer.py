"""A tokenizer as tokenizer.json describes it: text → normalizer → pre-tokenizer → model → ids, and a decoder back.

The families that have a class of their own (`byte_bpe`, `wordpiece`, `gpt_bpe`) are read into it, because it is faster;
everything else is a pipeline. Its results are those of Hugging Face's tokenizers 0.23: `encode(text, allowed="all")`
is what that library does by default, and plain `encode(text)` what it does with `encode_special_tokens` set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from minigpt.tokenizers.base import Offsets, Tokenizer, check_ids, utf8
from minigpt.tokenizers.byte_alphabet import to_mapped
from minigpt.tokenizers.cache import Cache
from minigpt.tokenizers.pipeline.bpe import Token
from minigpt.tokenizers.pipeline.cutting import Cutter, Metaspace, cut_all, to_bytes
from minigpt.tokenizers.pipeline.decoders import Decoder
from minigpt.tokenizers.pipeline.normalizers import Normalizer
from minigpt.tokenizers.pipeline.stretch import Stretch
from minigpt.tokenizers.pipeline.words import WordPieces
from minigpt.tokenizers.special import AddedToken, Names, SpecialTokens

_BYTE = re.compile("<0x[0-9A-F]{2}>")  # a byte of a character that the vocabulary lacks


class Model(Protocol):
    """What turns one word into tokens."""

    vocab: Mapping[str, int]

    def tokens(self, word: str) -> list[Token]: ...


class Pipeline(Tokenizer):
    """The tokenizer that some parts make.

    Args:
        special: the added tokens, all of them.
        source: the tokenizer.json that all of it comes from.

    Attributes:
        late: added tokens that are looked for after the normalizer, not before it: name -> its normalized form.

    Raises:
        ValueError: an added token's normalized form is empty.
    """

    def __init__(
        self,
        model: Model,
        special: SpecialTokens,
        normalizer: Normalizer,
        cutters: list[Cutter],
        decoder: Decoder | None,
        source: Mapping,
    ):
        self.model, self.special, self.source = model, special, source
        self.normalizer, self.cutters, self.decoder = normalizer, cutters, decoder
        normalized = [t.content for t in special.tokens.values() if t.normalized and source.get("normalizer")]
        self.late = late = {name: normalizer(Stretch(name)).text for name in normalized}
        if "" in late.values():
            raise ValueError("one of its added tokens is nothing once it is normalized")
        decodes = (source.get("decoder") or {}).get("type")
        by_bytes = decodes == "ByteLevel" or to_bytes in cutters
        self.kind = "wordpiece" if isinstance(model, WordPieces) else "bpe" if by_bytes else "sentencepiece"
        ids = special.ids
        quiet = ids.keys() - special.always if self.kind == "sentencepiece" else set()  # decoding leaves them out
        self.name_ids(model.vocab)
        self._shown = self._names | {ids[name]: shown for name, shown in late.items()}  # as decoding shows them
        self._quiet = {ids[name] for name in quiet if self._shown[ids[name]] in quiet}
        self._early = _part_of(special, {name: name for name in ids if name not in late})
        self._late = _part_of(special, late)
        self._maps = cutters[-1:] == [to_bytes]
        self._cutters = cutters[:-1] if self._maps else cutters  # the last step can wait for the cache to miss
        self._ids = Cache(self._mapped_ids if self._maps else self._word_ids)
        first = [n for n, c in enumerate(cutters) if isinstance(c, Metaspace) and c.scheme == "first"]
        self._counts_places = bool(first) and (first[0] > 0 or bool(late))

    def encode(self, text: str, *, allowed: Names = (), forbidden: Names = ()) -> list[int]:
        """Return the token ids of `text`; see `Tokenizer`."""
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

    def _located(self, text: str, allowed: Names, forbidden: Names) -> tuple[list[int], Offsets, dict[int, str]]:
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
            for word in cut_all(self.cutters, part):
                tokens = self.model.tokens(word.text)
                ids += [i for i, _, _ in tokens]
                offsets += word.spans_of(tokens)
        return ids, offsets, added

    def _parts_of(
        self, text: str, allowed: Names, forbidden: Names, *, aligned: bool
    ) -> Iterator[Stretch | tuple[int, int, int]]:
        """The text as normalized stretches, and added tokens as (id, start, end)."""
        names = [self.special.select(allowed), self.special.select(forbidden)]
        late = [{self.late[name] for name in some & self.late.keys()} for some in names]
        for start, end, special in self._early.split(text, *(some - self.late.keys() for some in names)):
            if special is not None:
                yield special, start, end
                continue
            stretch = self.normalizer(Stretch.of(text, start, end, aligned=aligned))
            for a, b, found in self._late.split(stretch.text, *late):
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
        if self.decoder is None:
            return " ".join(tokens)
        return "".join(self.decoder(tokens))

    def byte_count(self, ids: Iterable[int]) -> int:
        """How many bytes the ids stand for, each alone: also where a character is spelled by its bytes."""
        names = (self._names.get(i, "") for i in check_ids(ids, self.vocab_size))
        return sum(len(s) if self._maps else 1 if _BYTE.fullmatch(s) else len(s.encode("utf-8")) for s in names)

    def to_json(self) -> dict:
        """The tokenizer.json that the pipeline was read from."""
        return dict(self.source)


def _part_of(special: SpecialTokens, names: Mapping[str, str]) -> SpecialTokens:
    """Some of the special tokens, by other names; of two that have the same, the first."""
    tokens: dict[str, AddedToken] = {}
    for name, other in names.items():
        tokens.setdefault(other, replace(special.tokens[name], content=other))
    return SpecialTokens(tokens.values())
