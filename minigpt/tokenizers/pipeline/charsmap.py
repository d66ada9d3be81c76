"""SentencePiece's precompiled map of characters: which strings a text's normalization replaces, and by what.

The file holds a double array (Darts): a trie whose units are 32-bit numbers. From the unit at p, byte b leads to the
unit at p ^ offset ^ b, if that one's label is b. A unit's bit 8 says that a string ends there; then the unit at p ^
offset holds where its replacement begins in the text after the array, which a zero byte ends. A published map has
225,000 strings in 45,000 units, so it is walked, and only what was met is remembered. Source: darts-clone, and
SentencePiece's normalizer.cc.
"""

from __future__ import annotations

import struct
from functools import cached_property, lru_cache

from minigpt.core.errors import UserError

LONGEST = 64  # characters of a string; those of the published maps have up to four
_MOST_UNITS = 1 << 20  # of a map whose units are all looked at
_LEAF = 1 << 31  # units from here on hold places of replacements


class CharsMap:
    """The map that `data` holds; an empty one replaces nothing.

    Attributes:
        empty: whether there is nothing in it.
        doubles_spaces: whether a replacement may have two spaces in a row.

    Raises:
        ValueError: its beginning is damaged. (What lies inside is seen when a text leads there: a UserError.)
    """

    def __init__(self, data: bytes):
        self.empty = not data
        size = struct.unpack_from("<I", data)[0] if len(data) >= 8 else 0
        if data and (size % 4 or not 4 <= size <= len(data) - 4):
            raise ValueError("its map of characters is damaged: its length cannot be right")
        self._units = struct.unpack_from(f"<{size // 4}I", data, 4) if data else ()
        self._texts = data[4 + size :]
        self.doubles_spaces = b"  " in self._texts
        self._root = _offset(self._units[0]) if self._units else 0
        self._step = lru_cache(maxsize=1 << 16)(self._walk)

    def longest(self, text: str, start: int) -> tuple[str, int] | None:
        """The replacement of the longest string that stands at `start`, and where that string ends."""
        base, found = self._root, None
        for end in range(start, min(start + LONGEST, len(text))):
            base, new = self._step(base, text[end])
            if new is not None:
                found = new, end + 1
            if base < 0:
                break
        return found

    def shortest(self, text: str) -> str | None:
        """The replacement of the shortest string that `text` begins with."""
        base = self._root
        for c in text[:LONGEST]:
            base, new = self._step(base, c)
            if new is not None or base < 0:
                return new
        return None

    def _walk(self, base: int, c: str) -> tuple[int, str | None]:
        """Where a character leads from the children of a unit (-1: nowhere), and what replaces what ends there."""
        units, unit = self._units, 0
        if not units or c == "\0":
            return -1, None
        for byte in c.encode("utf-8"):
            place = base ^ byte
            if place >= len(units) or units[place] & 0x800000FF != byte:
                return -1, None
            unit = units[place]
            base = place ^ _offset(unit)
        if not unit & 0x100:
            return base, None
        if base >= len(units):
            raise UserError("the tokenizer's map of characters is damaged: a string ends outside of it")
        return base, self._text(units[base] & 0x7FFFFFFF)

    def _text(self, start: int) -> str:
        end = self._texts.find(b"\0", start)
        if start >= len(self._texts) or end < 0:
            raise UserError("the tokenizer's map of characters is damaged: a replacement lies outside of it")
        try:
            return self._texts[start:end].decode("utf-8")
        except UnicodeDecodeError:
            raise UserError("the tokenizer's map of characters is damaged: a replacement is not UTF-8") from None

    @cached_property
    def ascii_stands_first_only(self) -> bool:
        """Whether no string has an ASCII character anywhere but at its beginning, so that of two ASCII characters in a
        row the first can be looked up alone.
        """
        return len(self._units) <= _MOST_UNITS and not self._has_ascii_inside()

    def _has_ascii_inside(self) -> bool:
        children: dict[int, list[int]] = {}
        for place, unit in enumerate(self._units):
            if unit < _LEAF and unit & 0xFF:
                children.setdefault(place ^ unit & 0xFF, []).append(place)
        bases = [self._root]
        for base in bases:  # which grows while it is walked
            for place in children.pop(base, ()):
                if base != self._root and self._units[place] & 0xFF < 0x80:
                    return True
                bases.append(place ^ _offset(self._units[place]))
        return self._root in bases[1:]


def _offset(unit: int) -> int:
    """How far away a unit's children are."""
    return (unit >> 10) << ((unit & 0x200) >> 6)
