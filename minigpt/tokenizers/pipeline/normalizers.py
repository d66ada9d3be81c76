"""What a tokenizer may do to a text before it cuts it: the normalizers of tokenizer.json.

Each is done in two ways, which tests hold to each other: `text`, fast, and `aligned`, where every character keeps track
of the original ones. Source: Hugging Face's tokenizers 0.23, whose results they give.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import regex

from minigpt.core.errors import UserError
from minigpt.core.limits import GROWN_CHARACTERS, GROWTH
from minigpt.tokenizers.byte_alphabet import to_mapped
from minigpt.tokenizers.oniguruma import pieces
from minigpt.tokenizers.pipeline.stretch import Stretch
from minigpt.tokenizers.pipeline.unicode_forms import composed, decomposed

_SPACES = regex.compile(r"\A\s+")
_LAST_SPACES = regex.compile(r"\s+\Z")


class Normalizer(Protocol):
    """A step that changes a text."""

    def text(self, text: str) -> str: ...

    def aligned(self, stretch: Stretch) -> Stretch: ...


class PerCharacter:
    """A step that replaces each character by any number of others, whatever stands around it.

    Args:
        change: what a character becomes.
        ascii: what a text that is ASCII becomes, as long as it was, where there is a faster way to say it.
    """

    def __init__(self, change: Callable[[str], str], ascii: Callable[[str], str] | None = None):
        self.change = lru_cache(maxsize=1 << 16)(change)
        self.ascii = ascii

    def text(self, text: str) -> str:
        return self.ascii(text) if self.ascii and text.isascii() else "".join(map(self.change, text))

    def aligned(self, stretch: Stretch) -> Stretch:
        if self.ascii and stretch.text.isascii():
            return Stretch(self.ascii(stretch.text), stretch.start, stretch.spans)
        parts = [self.change(c) for c in stretch.text]
        spans = [span for span, part in zip(stretch.spans or [], parts, strict=True) for _ in part]
        return Stretch("".join(parts), stretch.start, spans)


class LowerInContext(PerCharacter):
    """Python's lower case, which knows one context rule (a final Σ is ς) that keeps the length."""

    def text(self, text: str) -> str:
        return text.lower()

    def aligned(self, stretch: Stretch) -> Stretch:
        return Stretch(stretch.text.lower(), stretch.start, super().aligned(stretch).spans)


LOWER_IN_CONTEXT = LowerInContext(str.lower, str.lower)
LOWERCASE = PerCharacter(str.lower, str.lower)  # character by character: Σ is σ at the end of a word too


def without(categories: str) -> PerCharacter:
    """Leaves out the characters whose category begins so, marks in practice, which ASCII does not have."""
    return PerCharacter(lambda c: "" if unicodedata.category(c).startswith(categories) else c, str)


_NMT_GONE = frozenset(map(chr, (*range(1, 9), 11, *range(14, 32), 0x7F, 0x8F, 0x9F)))
_NMT_SPACE = frozenset("\t\n\f\r\u1680\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2581\ufeff\ufffd")


def for_translation(c: str) -> str:
    """Some control characters vanish and some become spaces: the normalizer Nmt."""
    return "" if c in _NMT_GONE else " " if c in _NMT_SPACE else c


def mapped_bytes(c: str) -> str:
    """A character's UTF-8 bytes, written as GPT-2's visible characters."""
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
    """Every match of a pattern becomes `content`.

    Attributes:
        literal: the text that the pattern is, if it is one.
        whole: the content stands for all of the match, not for its last character alone.
    """

    pattern: regex.Pattern[str]
    content: str
    literal: str | None = None
    whole: bool = False

    def text(self, text: str) -> str:
        if self.literal:
            self._check_growth(text, text.count(self.literal))
            return text.replace(self.literal, self.content)
        found = pieces(self.pattern, text)
        self._check_growth(text, sum(match for *_, match in found))
        return "".join([self.content if match else text[start:end] for start, end, match in found])

    def aligned(self, stretch: Stretch) -> Stretch:
        text, old = stretch.text, stretch.spans or []
        parts: list[str] = []
        spans: list[tuple[int, int]] = []
        found = pieces(self.pattern, text)
        self._check_growth(text, sum(match for *_, match in found))
        for start, end, match in found:
            if not match:
                parts.append(text[start:end])
                spans += old[start:end]
                continue
            span = old[end - 1] if end else (stretch.start, stretch.start)
            if self.whole:
                span = stretch.span(start, end)
            parts.append(self.content)
            spans += [span] * len(self.content)
        return Stretch("".join(parts), stretch.start, spans)

    def _check_growth(self, text: str, count: int) -> None:
        """Before memory is taken: several such steps, each of which makes a text longer, fill any."""
        if count * len(self.content) > GROWTH * len(text) + GROWN_CHARACTERS:
            raise UserError(f"the tokenizer replaces {count} parts of a text by {len(self.content)} characters each")


@dataclass
class Sequence:
    """One step after the other."""

    steps: list[Normalizer] = field(default_factory=list)

    def text(self, text: str) -> str:
        most = GROWTH * len(text) + GROWN_CHARACTERS
        for step in self.steps:
            text = step.text(text)
            _check_length(text, most)
        return text

    def aligned(self, stretch: Stretch) -> Stretch:
        most = GROWTH * len(stretch.text) + GROWN_CHARACTERS
        for step in self.steps:
            stretch = step.aligned(stretch)
            _check_length(stretch.text, most)
        return stretch


def _check_length(text: str, most: int) -> None:
    if len(text) > most:
        raise UserError(f"the tokenizer's normalizer makes a text of more than {most} characters")


def normalize(step: Normalizer, stretch: Stretch) -> Stretch:
    """A step, done in the way that the stretch asks for."""
    if stretch.spans is None:
        return Stretch(step.text(stretch.text), stretch.start)
    return step.aligned(stretch)
