"""What a tokenizer may do to a text before it cuts it: the normalizers of tokenizer.json.

Each is done in two ways, which tests hold to each other: `text`, fast, and `aligned`, where every character keeps track
of the original ones. Source: Hugging Face's tokenizers 0.23, whose results they give.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import regex

from minigpt.tokenizers.bert_words import BertWords
from minigpt.tokenizers.byte_alphabet import to_mapped
from minigpt.tokenizers.oniguruma import matches
from minigpt.tokenizers.pipeline.stretch import Stretch
from minigpt.tokenizers.pipeline.unicode_forms import composed, decomposed

_SPACES = regex.compile(r"\A\s+")
_LAST_SPACES = regex.compile(r"\s+\Z")


class Normalizer(Protocol):
    """A step that changes a text."""

    def text(self, text: str) -> str: ...

    def aligned(self, stretch: Stretch) -> Stretch: ...


class PerCharacter:
    """A step that replaces each character by any number of others, whatever stands around it."""

    def change(self, c: str) -> str:
        raise NotImplementedError

    def text(self, text: str) -> str:
        return "".join(map(self.change, text))

    def aligned(self, stretch: Stretch) -> Stretch:
        parts = [self.change(c) for c in stretch.text]
        spans = [span for span, part in zip(stretch.spans or [], parts, strict=True) for _ in part]
        return Stretch("".join(parts), stretch.start, spans)


class Lowercase(PerCharacter):
    """Lower case, character by character: Σ is σ at the end of a word too."""

    def __init__(self) -> None:
        self.change = lru_cache(maxsize=1 << 14)(str.lower)

    def text(self, text: str) -> str:
        return text.lower() if text.isascii() else super().text(text)


class StripAccents(PerCharacter):
    """Without marks (categories M*)."""

    def change(self, c: str) -> str:
        return "" if unicodedata.category(c)[0] == "M" else c

    def text(self, text: str) -> str:
        return text if text.isascii() else super().text(text)


class Nmt(PerCharacter):
    """Some control characters vanish and some become spaces, as for machine translation."""

    _GONE = frozenset(map(chr, (*range(1, 9), 11, *range(14, 32), 0x7F, 0x8F, 0x9F)))
    _SPACE = frozenset("\t\n\f\r\u1680\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2581\ufeff\ufffd")

    def change(self, c: str) -> str:
        return "" if c in self._GONE else " " if c in self._SPACE else c


class ByteCharacters(PerCharacter):
    """Each character's UTF-8 bytes, written as GPT-2's visible characters."""

    def change(self, c: str) -> str:
        return to_mapped(c.encode("utf-8"))


@dataclass
class UnicodeForm:
    """One of Unicode's normal forms: NFC, NFD, NFKC, NFKD."""

    form: str

    def text(self, text: str) -> str:
        return unicodedata.normalize(self.form, text)

    def aligned(self, stretch: Stretch) -> Stretch:
        if unicodedata.is_normalized(self.form, stretch.text):
            return stretch
        characters = decomposed(stretch.text, "NFKD" if "K" in self.form else "NFD")
        return stretch.changed(composed(characters) if self.form.endswith("C") else characters)


@dataclass
class Strip:
    """Without white space at the ends."""

    left: bool = True
    right: bool = True

    def _ends(self, text: str) -> tuple[int, int]:
        before = _SPACES.search(text) if self.left else None
        after = _LAST_SPACES.search(text) if self.right else None
        start = before.end() if before else 0
        return start, max(start, after.start() if after else len(text))

    def text(self, text: str) -> str:
        start, end = self._ends(text)
        return text[start:end]

    def aligned(self, stretch: Stretch) -> Stretch:
        start, end = self._ends(stretch.text)
        return Stretch(stretch.text[start:end], stretch.start, (stretch.spans or [])[start:end])


@dataclass
class Prepend:
    """A prefix in front of every text that is not empty."""

    prefix: str

    def text(self, text: str) -> str:
        return self.prefix + text if text else text

    def aligned(self, stretch: Stretch) -> Stretch:
        return stretch.prepend(self.prefix)


@dataclass
class Replace:
    """Every match of a pattern becomes `content`, which then stands for the last character of the match."""

    pattern: regex.Pattern[str]
    content: str
    literal: str | None = None  # the text that the pattern is, if it is one

    def text(self, text: str) -> str:
        if self.literal:
            return text.replace(self.literal, self.content)
        parts, position = [], 0
        for start, end in matches(self.pattern, text):
            parts += [text[position:start], self.content]
            position = end
        return "".join([*parts, text[position:]])

    def aligned(self, stretch: Stretch) -> Stretch:
        text, old = stretch.text, stretch.spans or []
        parts: list[str] = []
        spans: list[tuple[int, int]] = []
        position = 0
        for start, end in matches(self.pattern, text):
            span = old[end - 1] if end else (stretch.start, stretch.start)
            parts += [text[position:start], self.content]
            spans += old[position:start] + [span] * len(self.content)
            position = end
        return Stretch("".join([*parts, text[position:]]), stretch.start, spans + old[position:])


@dataclass
class Bert:
    """BERT's cleaning, lower case and removal of accents (`bert_words`)."""

    words: BertWords

    def text(self, text: str) -> str:
        return self.words.words_with_spans(text)[0].text

    def aligned(self, stretch: Stretch) -> Stretch:
        aligned, _ = self.words.words_with_spans(stretch.text)
        old = stretch.spans or []
        spans = [(old[a][0], old[b - 1][1]) for a, b in aligned.spans]
        return Stretch(aligned.text, stretch.start, spans)


@dataclass
class Sequence:
    """One step after the other."""

    steps: list[Normalizer] = field(default_factory=list)

    def text(self, text: str) -> str:
        for step in self.steps:
            text = step.text(text)
        return text

    def aligned(self, stretch: Stretch) -> Stretch:
        for step in self.steps:
            stretch = step.aligned(stretch)
        return stretch


def normalize(step: Normalizer, stretch: Stretch) -> Stretch:
    """A step, done in the way that the stretch asks for."""
    if stretch.spans is None:
        return Stretch(step.text(stretch.text), stretch.start)
    return step.aligned(stretch)
