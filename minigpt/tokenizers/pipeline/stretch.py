"""A part of a text on its way through a pipeline, whose characters may know where in the original they came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Span = tuple[int, int]


@dataclass(slots=True)
class Stretch:
    """What a part of a text reads by now.

    Attributes:
        text: the characters.
        start: where the part begins in the original text.
        spans: for each character the (start, end) of the original characters it stands for; None where nobody asked
            for offsets, which is much faster.
    """

    text: str
    start: int = 0
    spans: list[Span] | None = None

    @classmethod
    def of(cls, text: str, start: int = 0, end: int | None = None, *, aligned: bool = True) -> Stretch:
        """The characters text[start:end] as they are."""
        end = len(text) if end is None else end
        spans = [(i, i + 1) for i in range(start, end)] if aligned else None
        return cls(text[start:end], start, spans)

    def slice(self, start: int, end: int) -> Stretch:
        """A part of the part."""
        if self.spans is None:
            return Stretch(self.text[start:end], self.start if start == 0 else self.start + start)
        spans = self.spans[start:end]
        return Stretch(self.text[start:end], spans[0][0] if spans else self.start, spans)

    def span(self, start: int, end: int) -> Span:
        """The original characters behind text[start:end], which is not empty."""
        spans = self.spans or []
        return spans[start][0], spans[end - 1][1]

    def spans_of(self, tokens: Iterable[tuple[int, int, int]]) -> list[Span]:
        """The original characters of tokens (id, start, end), whose places are counted in bytes of the text."""
        if self.text.isascii():
            return [self.span(start, end) for _, start, end in tokens]
        which = [n for n, c in enumerate(self.text) for _ in c.encode("utf-8")]
        return [self.span(which[start], which[end - 1] + 1) for _, start, end in tokens]

    def prepend(self, prefix: str) -> Stretch:
        """With `prefix` in front, which stands for the first character. Nothing is put in front of nothing."""
        if not self.text:
            return self
        spans = None if self.spans is None else [self.spans[0]] * len(prefix) + self.spans
        return Stretch(prefix + self.text, self.start, spans)

    def changed(self, characters: Sequence[tuple[str, int]]) -> Stretch:
        """Rewrite the text, from a list of (character, change).

        Change 0: the character takes the place of the next old one. Change -n: so it does, and n more old ones vanish.
        Change 1: it is new, and stands for what the last old character before it stood for.
        Source: `NormalizedString.transform` of Hugging Face's tokenizers.
        """
        text = "".join([c for c, _ in characters])
        if self.spans is None:
            return Stretch(text, self.start)
        old, spans, position = self.spans, [], 0
        last = len(old) - 1
        for _, change in characters:
            if change > 0:
                spans.append(old[min(position - 1, last)] if position and old else (self.start, self.start))
            else:
                spans.append(old[position if position < last else last])
                position += 1 - change
        return Stretch(text, self.start, spans)
