"""Where a tokenizer cuts a text into the words that its model sees one by one: the pre-tokenizers of tokenizer.json.

Source: Hugging Face's tokenizers 0.23, whose results they give.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import regex

from minigpt.tokenizers.oniguruma import pieces
from minigpt.tokenizers.pipeline.normalizers import PerCharacter, mapped_bytes
from minigpt.tokenizers.pipeline.stretch import Stretch

PUNCTUATION = r"\p{P}$+<=>^`|~"  # in brackets; ASCII's symbols count too
BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
PREPEND_SCHEMES = ("always", "first", "never")


class Cutter(Protocol):
    """A step that cuts a stretch into stretches, none of them empty."""

    def cut(self, stretch: Stretch) -> Iterable[Stretch]: ...


@dataclass
class Split:
    """Cut at the matches of a pattern.

    Attributes:
        behavior: what becomes of a match: it is "Removed", a word of its own ("Isolated"), glued to the word before
            ("MergedWithPrevious") or after it ("MergedWithNext"), or one word with the matches beside it
            ("Contiguous").
        invert: what the pattern leaves unmatched counts as the matches, and the other way round.
    """

    pattern: regex.Pattern[str]
    behavior: str = "Isolated"
    invert: bool = False

    def cut(self, stretch: Stretch) -> list[Stretch]:
        return [stretch.slice(start, end) for start, end in self._parts(stretch.text) if start < end]

    def _parts(self, text: str) -> list[tuple[int, int]]:
        found = pieces(self.pattern, text, self.invert)
        if self.behavior == "Removed":
            return [(start, end) for start, end, match in found if not match]
        if self.behavior == "Isolated":
            return [(start, end) for start, end, _ in found]
        if self.behavior == "Contiguous":
            return _joined(found, operator.eq)
        if self.behavior == "MergedWithNext":
            return _joined(found[::-1], operator.gt)[::-1]
        return _joined(found, operator.gt)


def _joined(pieces: list[tuple[int, int, bool]], joins: Callable[[bool, bool], bool]) -> list[tuple[int, int]]:
    """Pieces glued to the one before them in the list, where `joins` says so of the two being matches.

    By `eq` neighbours of one kind are joined, by `gt` a match with what is none.
    """
    parts: list[tuple[int, int]] = []
    before = False
    for start, end, match in pieces:
        if parts and joins(match, before):
            parts[-1] = (min(parts[-1][0], start), max(parts[-1][1], end))
        else:
            parts.append((start, end))
        before = match
    return parts


@dataclass
class Metaspace:
    """Spaces become a visible character, which also goes in front of a text that does not begin with it.

    Attributes:
        scheme: where it goes in front: of every stretch ("always"), of the one at the very beginning of the text
            ("first"), so not after a special token, or "never".
        split: cut before each of these characters.
    """

    replacement: str = "▁"
    scheme: str = "always"
    split: bool = True

    def __post_init__(self) -> None:
        self._cut = Split(regex.compile(regex.escape(self.replacement)), "MergedWithNext")

    def cut(self, stretch: Stretch) -> list[Stretch]:
        stretch = Stretch(stretch.text.replace(" ", self.replacement), stretch.start, stretch.spans)
        here = self.scheme == "always" or (self.scheme == "first" and stretch.start == 0)
        if here and not stretch.text.startswith(self.replacement):
            stretch = stretch.prepend(self.replacement)
        if not self.split:
            return [stretch]
        if stretch.spans is None:  # the same cuts, faster
            first, *others = stretch.text.split(self.replacement)
            words = [Stretch(self.replacement + word, -1) for word in others]
            return [Stretch(first, stretch.start), *words] if first else words
        return self._cut.cut(stretch)


@dataclass
class PrefixSpace:
    """A space in front of what does not begin with white space, as byte-level BPE's `add_prefix_space` says."""

    def cut(self, stretch: Stretch) -> list[Stretch]:
        return [stretch if stretch.text.startswith(" ") else stretch.prepend(" ")]


@dataclass
class ToBytes:
    """Byte-level BPE's last step: the UTF-8 bytes of a word, written as visible characters."""

    def cut(self, stretch: Stretch) -> list[Stretch]:
        return [_BYTES.apply(stretch)]


@dataclass
class FixedLength:
    """Words of so many characters."""

    length: int

    def cut(self, stretch: Stretch) -> list[Stretch]:
        return [stretch.slice(i, i + self.length) for i in range(0, len(stretch.text), self.length)]


_BYTES = PerCharacter(mapped_bytes)


def cut_all(steps: Iterable[Cutter], stretch: Stretch) -> list[Stretch]:
    """One step after the other, each on what the one before made."""
    stretches = [stretch]
    for step in steps:
        stretches = [part for whole in stretches for part in step.cut(whole)]
    return stretches
