"""Where a tokenizer cuts a text into the words that its model sees one by one: the pre-tokenizers of tokenizer.json.

Source: Hugging Face's tokenizers 0.23, whose results they give.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import regex

from minigpt.tokenizers.oniguruma import pieces
from minigpt.tokenizers.pipeline.normalizers import PerCharacter, mapped_bytes
from minigpt.tokenizers.pipeline.stretch import Stretch

PUNCTUATION = r"\p{P}$+<=>^`|~"  # in brackets; ASCII's symbols count too
BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
PREPEND_SCHEMES = ("always", "first", "never")


# A step that cuts a stretch into stretches, none of them empty: its settings come first, then the stretch.
Cutter = Callable[[Stretch], Iterable[Stretch]]


def split(pattern: regex.Pattern[str], behavior: str, invert: bool, stretch: Stretch) -> list[Stretch]:
    """Cut at the matches of a pattern.

    Args:
        behavior: what becomes of a match: it is "Removed", a word of its own ("Isolated"), glued to the word before
            ("MergedWithPrevious") or after it ("MergedWithNext"), or one word with the matches beside it
            ("Contiguous").
        invert: what the pattern leaves unmatched counts as the matches, and the other way round.
    """

    parts = _behaved(pieces(pattern, stretch.text, invert), behavior)
    return [stretch.slice(start, end) for start, end in parts if start < end]


def _behaved(found: list[tuple[int, int, bool]], behavior: str) -> list[tuple[int, int]]:
    if behavior == "Removed":
        return [(start, end) for start, end, match in found if not match]
    if behavior == "Isolated":
        return [(start, end) for start, end, _ in found]
    if behavior == "Contiguous":
        return _joined(found, operator.eq)
    if behavior == "MergedWithNext":
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
        self._pattern = regex.compile(regex.escape(self.replacement))

    def __call__(self, stretch: Stretch) -> list[Stretch]:
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
        return split(self._pattern, "MergedWithNext", False, stretch)


def prefix_space(stretch: Stretch) -> list[Stretch]:
    """A space in front of what does not begin with white space, as byte-level BPE's `add_prefix_space` says."""
    return [stretch if stretch.text.startswith(" ") else stretch.prepend(" ")]


def to_bytes(stretch: Stretch) -> list[Stretch]:
    """Byte-level BPE's last step: the UTF-8 bytes of a word, written as visible characters."""
    return [_BYTES(stretch)]


def fixed_length(length: int, stretch: Stretch) -> list[Stretch]:
    """Words of so many characters."""
    return [stretch.slice(i, i + length) for i in range(0, len(stretch.text), length)]


_BYTES = PerCharacter(mapped_bytes)


def cut_all(steps: Iterable[Cutter], stretch: Stretch) -> list[Stretch]:
    """One step after the other, each on what the one before made."""
    stretches = [stretch]
    for step in steps:
        stretches = [part for whole in stretches for part in step(whole)]
    return stretches
