"""SentencePiece's precompiled map of characters: which strings a text's normalization replaces, and by what.

The file holds a double array (Darts): a trie whose units are 32-bit numbers. From the unit at p, byte b leads to the
unit at p ^ offset ^ b, if that one's label is b. A unit's bit 8 says that a string ends there; then the unit at p ^
offset holds where its replacement begins in the text after the array, which a zero byte ends. A published map has
225,000 strings in 45,000 units, so it is walked, and only what was met is remembered. Source: darts-clone, and
SentencePiece's normalizer.cc.
"""

from __future__ import annotations

import struct
from functools import lru_cache

import numpy as np

from minigpt.core.errors import UserError

LONGEST = 64  # characters of a string; those of the published maps have up to four
_ROWS = 4096  # units looked at together
_MOST_UNITS = 1 << 20  # of a map whose units are all looked at


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
        self._array = np.frombuffer(data, dtype="<u4", count=size // 4, offset=4 if data else 0)
        self._units: list[int] = self._array.tolist()
        self._texts = data[4 + size :]
        self.doubles_spaces = b"  " in self._texts
        self._root = _offset(self._units[0]) if self._units else 0
        self._step = lru_cache(maxsize=1 << 16)(self._walk)
        self._begins_with_ascii_only: bool | None = None

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

    def ascii_stands_first_only(self) -> bool:
        """Whether no string has an ASCII character anywhere but at its beginning, so that of two ASCII characters in a
        row the first can be looked up alone.
        """
        if self._begins_with_ascii_only is None:
            self._begins_with_ascii_only = len(self._units) <= _MOST_UNITS and not self._has_ascii_inside()
        return self._begins_with_ascii_only

    def _has_ascii_inside(self) -> bool:
        if not self._units:
            return False
        array, labels = self._array.astype(np.int64), np.arange(1, 256)
        seen = np.zeros(max(2 * len(array), 1 << 9), dtype=bool)
        bases, level = np.array([self._root]), 0
        while len(bases):
            found = []
            for rows in np.split(bases, range(_ROWS, len(bases), _ROWS)):
                places = rows[:, None] ^ labels[None, :]
                here = array[np.where(places < len(array), places, 0)]
                edges = (places < len(array)) & ((here & 0x800000FF) == labels)
                if level and edges[:, :127].any():
                    return True
                units = here[edges]
                found.append(places[edges] ^ ((units >> 10) << ((units & 0x200) >> 6)))
            bases = np.unique(np.concatenate(found))
            bases = bases[bases < len(seen)]
            bases = bases[~seen[bases]]
            seen[bases] = True
            level += 1
        return False


def _offset(unit: int) -> int:
    """How far away a unit's children are."""
    return (unit >> 10) << ((unit & 0x200) >> 6)
