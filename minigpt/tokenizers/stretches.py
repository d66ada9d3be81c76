"""Stretches of one array: lists of ids, or words as bytes, without a Python object for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PADDING = 8  # NULs behind the bytes of words: eight bytes are read at a time, also at the end


class Stretches(NamedTuple):
    """Stretch k is `size[k]` of the `items`, from `start[k]` on."""

    items: np.ndarray
    start: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, packed: Sequence[bytes], dtype: type[np.generic]) -> Stretches:
        """Of lists as the bytes of their items; PADDING stands behind them."""
        items = np.frombuffer(b"".join([*packed, bytes(PADDING)]), dtype)
        size = np.fromiter(map(len, packed), np.int64, len(packed)) // items.itemsize
        return cls(items, size.cumsum() - size, size)

    @classmethod
    def together(cls, parts: Sequence[tuple[np.ndarray, Stretches]]) -> Stretches:
        """The stretches of all parts, each of which says which numbers its own have."""
        sizes = np.array([len(part.items) for _, part in parts])
        count = sum(len(numbers) for numbers, _ in parts)
        start, size = np.empty(count, np.int64), np.empty(count, np.int64)
        for (numbers, part), offset in zip(parts, sizes.cumsum() - sizes, strict=True):
            start[numbers], size[numbers] = part.start + offset, part.size
        return cls(np.concatenate([part.items for _, part in parts]), start, size)

    def some(self, numbers: np.ndarray) -> Stretches:
        """The stretches with these numbers."""
        return Stretches(self.items, self.start[numbers], self.size[numbers])

    def joined(self, padding: int = 0) -> Stretches:
        """The stretches end to end."""
        ends = self.size.cumsum()
        start = ends - self.size
        total = int(ends[-1]) if len(ends) else 0
        items = np.zeros(total + padding, self.items.dtype)
        np.take(self.items, np.arange(total) + np.repeat(self.start - start, self.size), out=items[:total])
        return Stretches(items, start, self.size)

    def one(self, k: int) -> np.ndarray:
        """Stretch k."""
        return self.items[self.start[k] : self.start[k] + self.size[k]]
