"""Offsets without white space, which tokenizer.json asks for by `trim_offsets` of its post-processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from minigpt.tokenizers.added import steps
from minigpt.tokenizers.white_space import WHITE

Offsets = list[tuple[int, int]]
_WHITE = frozenset(WHITE + "Ġ")


@dataclass(frozen=True)
class Trim:
    """Take the white space that a token's text begins and ends with off its offsets.

    Attributes:
        prefix_space: a space may have been put in front of the text; a single one that a token at the very beginning
            begins with stays, then.
    """

    prefix_space: bool

    def trim(self, tokens: Sequence[str], offsets: Offsets) -> Offsets:
        """The trimmed offsets of tokens, written with byte-level characters (Ġ is a space)."""
        return [self._one(n, token, *span) for n, (token, span) in enumerate(zip(tokens, offsets, strict=True))]

    def _one(self, n: int, token: str, start: int, end: int) -> tuple[int, int]:
        leading = sum(1 for _ in takewhile(_WHITE.__contains__, token))
        trailing = sum(1 for _ in takewhile(_WHITE.__contains__, reversed(token)))
        if leading == 1 and self.prefix_space and (n == 0 or start == 0):
            leading = 0
        start = min(start + leading, end)
        return start, max(end - trailing, start) if trailing and end >= trailing else end


def trim_of(post_processor: Mapping[str, Any] | None) -> Trim | None:
    """What the post-processor of a file says about offsets."""
    for step in steps(post_processor, "processors"):
        if step["type"] in ("ByteLevel", "RobertaProcessing") and step.get("trim_offsets") is True:
            return Trim(bool(step.get("add_prefix_space")))
    return None
