"""A text under normalization whose every character still knows which characters of the original it came from.

It is what gives offsets to tokenizers that change the text first: lower case, accents, white space.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Aligned:
    """`text`, and for each of its characters the (start, end) of the original characters it stands for."""

    text: str
    spans: list[tuple[int, int]]

    @classmethod
    def of(cls, text: str) -> Aligned:
        """A text that nothing has been done to yet."""
        return cls(text, [(i, i + 1) for i in range(len(text))])

    def map(self, change: Callable[[str], str]) -> Aligned:
        """Replace each character by `change(character)`, of any length."""
        parts = [change(c) for c in self.text]
        spans = [span for span, part in zip(self.spans, parts, strict=True) for _ in part]
        return Aligned("".join(parts), spans)

    def sub(self, pattern: re.Pattern[str], replacement: str) -> Aligned:
        """Replace every match; the replacement stands for all that was matched."""
        parts: list[str] = []
        spans: list[tuple[int, int]] = []
        position = 0
        for match in pattern.finditer(self.text):
            start, end = match.span()
            parts += [self.text[position:start], replacement]
            spans += self.spans[position:start] + [self.span(start, end)] * len(replacement)
            position = end
        return Aligned("".join([*parts, self.text[position:]]), spans + self.spans[position:])

    def lower(self) -> Aligned:
        """Python's lower case, which knows one context rule (a final Σ is ς) that keeps the length."""
        lowered = self.map(str.lower)
        return Aligned(self.text.lower(), lowered.spans)

    def decompose(self) -> Aligned:
        """Unicode's canonical decomposition, NFD."""
        if self.text.isascii():
            return self
        apart = self.map(lambda c: unicodedata.normalize("NFD", c))
        order = _canonical_order(apart.text)
        return Aligned("".join(apart.text[i] for i in order), [apart.spans[i] for i in order])

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original characters behind text[start:end]."""
        if start == end:
            here = self.spans[start][0] if start < len(self.spans) else self.spans[-1][1] if self.spans else 0
            return here, here
        return self.spans[start][0], max(stop for _, stop in self.spans[start:end])

    def strip(self) -> Aligned:
        """Without white space at both ends."""
        start = len(self.text) - len(self.text.lstrip())
        end = len(self.text.rstrip())
        return Aligned(self.text[start:end], self.spans[start:end]) if start < end else Aligned("", [])


def _canonical_order(text: str) -> list[int]:
    """The order in which NFD puts decomposed characters: each run of combining marks sorted by combining class."""
    order: list[int] = []
    run: list[int] = []
    for i, c in enumerate(text):
        if unicodedata.combining(c):
            run.append(i)
            continue
        order += sorted(run, key=lambda k: unicodedata.combining(text[k]))
        order.append(i)
        run = []
    return order + sorted(run, key=lambda k: unicodedata.combining(text[k]))
