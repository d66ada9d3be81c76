"""A hash table of NumPy arrays, which is asked for thousands of keys at once."""

from __future__ import annotations

import numpy as np

_BLOCK = 1 << 14  # keys looked up together: what they need fits in the second-level cache
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio: spreads keys that follow one another


class HashTable:
    """Numbers of 64-bit keys, none of which is 0; open addresses, at most half of them taken.

    Args:
        unknown: the number of a key that is not there.
    """

    def __init__(self, unknown: int = -1):
        self.count, self._unknown = 0, unknown
        self._allocate(12)

    def _allocate(self, bits: int) -> None:
        self._shift, self._mask = np.uint64(64 - bits), (1 << bits) - 1
        self._keys, self._numbers = np.zeros(1 << bits, np.uint64), np.full(1 << bits, self._unknown, np.int32)

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The numbers of the keys."""
        slots = self._first_slots(keys)
        there = self._keys[slots]
        open_ = np.flatnonzero((there != keys) & (there != 0))  # somebody else lies there
        while len(open_):
            slots[open_] = (slots[open_] + 1) & self._mask
            there = self._keys[slots[open_]]
            open_ = open_[(there != keys[open_]) & (there != 0)]
        return self._numbers[slots]

    def put(self, keys: np.ndarray, numbers: np.ndarray) -> None:
        """Give distinct new keys their numbers."""
        slots = self._insert(keys)  # which may make the table larger
        self._numbers[slots] = numbers
        self.count += len(keys)

    def number(self, keys: np.ndarray) -> np.ndarray:
        """The numbers of the keys; the new ones get the next numbers, from `count` on."""
        numbers = np.empty(len(keys), np.int32)
        for start in range(0, len(keys), _BLOCK):
            some = keys[start : start + _BLOCK]
            found = self.find(some)
            new = np.flatnonzero(found < 0)
            if len(new):
                slots = self._insert(some[new])
                self._numbers[slots] = order = np.arange(len(new))
                one = slots[self._numbers[slots] == order]  # each slot once
                self._numbers[one] = np.arange(self.count, self.count + len(one))
                self.count += len(one)
                found[new] = self._numbers[slots]
            numbers[start : start + _BLOCK] = found
        return numbers

    def _first_slots(self, keys: np.ndarray) -> np.ndarray:
        return ((keys * _MULTIPLIER) >> self._shift).view(np.int64)

    def _insert(self, keys: np.ndarray) -> np.ndarray:
        """The slots of keys that may be new."""
        if 2 * (self.count + len(keys)) > len(self._keys):
            taken = np.flatnonzero(self._keys)
            old, numbers = self._keys[taken], self._numbers[taken]
            self._allocate((4 * (self.count + len(keys))).bit_length())
            self._numbers[self._insert(old)] = numbers
        slots, rest = self._first_slots(keys), np.arange(len(keys))
        while len(rest):  # a free slot takes one of those that want it; the others go to the next
            at, wanted = slots[rest], keys[rest]
            free = self._keys[at] == 0
            self._keys[at[free]] = wanted[free]
            rest = rest[self._keys[at] != wanted]
            slots[rest] = (slots[rest] + 1) & self._mask
        return slots


def pair_keys(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Keys of pairs of numbers from −1 on; of (−1, −1) it is 0, which no table has."""
    return ((left.astype(np.uint64) + np.uint64(1)) << np.uint64(32)) | (right + 1).astype(np.uint64)
