"""Merge many words at once, with NumPy: in every round each word makes the merge that `merge.merge_short` would make.

Words stand in columns, padded, so a round is a few operations along rows of thousands of words, and no Python is run
for a single word. A test holds it to `merge_short`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from minigpt.tokenizers.merge import LONG, Merges

POSITIONS = 7  # bits that hold a position in a word: LONG is below 2⁷
NEVER = (1 << 24) - 1  # the rank of a pair without a merge; with a position behind it, it fits 31 bits
_EDGES = (6, 9, 13, 20, 40, LONG - 1)  # words of up to so many bytes are padded to one length
_PAD = -1
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio: spreads keys that follow one another


class PairTable:
    """The ranks of pairs as a hash table with open addresses, which is asked for many pairs at a time."""

    def __init__(self, merges: Merges):
        pairs = np.array(list(merges.rank), np.int64).reshape(-1, 2)
        keys, ranks = _keys(pairs[:, 0], pairs[:, 1]), np.array(list(merges.rank.values()), np.int32)
        self.result = np.array([*merges.result, _PAD], np.int32)
        bits = max(4, (8 * len(keys)).bit_length())
        self._shift = np.uint64(64 - bits)
        self._keys, self._ranks = np.zeros(1 << bits, np.uint64), np.full(1 << bits, NEVER, np.int32)
        self._mask, self._probes = (1 << bits) - 1, 0
        slots = self._slots(keys)
        while len(keys):  # every free slot takes one of those that want it; the others go to the next
            wanted, first = np.unique(slots, return_index=True)
            first = first[self._ranks[wanted] == NEVER]
            self._keys[slots[first]], self._ranks[slots[first]] = keys[first], ranks[first]
            left = np.delete(np.arange(len(keys)), first)
            keys, ranks, slots = keys[left], ranks[left], (slots[left] + 1) & self._mask
            self._probes += 1

    def _slots(self, keys: np.ndarray) -> np.ndarray:
        return ((keys * _MULTIPLIER) >> self._shift).astype(np.int64)

    def find(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """The ranks of the pairs; NEVER where there is no merge."""
        keys = _keys(left, right)
        slots = self._slots(keys)
        ranks = np.where(self._keys[slots] == keys, self._ranks[slots], NEVER)
        open_ = np.flatnonzero((ranks == NEVER) & (self._ranks[slots] != NEVER))  # somebody else lies there
        for _ in range(1, self._probes):
            if not len(open_):
                break
            slots[open_] = (slots[open_] + 1) & self._mask
            at = slots[open_]
            same = self._keys[at] == keys[open_]
            ranks[open_[same]] = self._ranks[at[same]]
            open_ = open_[~same & (self._ranks[at] != NEVER)]
        return ranks


def merge_words(words: Sequence[bytes], byte_ids: np.ndarray, table: PairTable) -> Iterator[tuple[int, bytes]]:
    """The number of each word and its ids (the bytes of an int32 array), in any order.

    Args:
        words: of 1 to LONG − 1 bytes.
        byte_ids: (256,) the ids of the bytes.
    """
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    which = np.searchsorted(_EDGES, lengths)
    for group, edge in enumerate(_EDGES):
        numbers = np.flatnonzero(which == group)
        if len(numbers):
            joined = np.frombuffer(b"".join(words[i].ljust(edge, b"\0") for i in numbers.tolist()), np.uint8)
            symbols = byte_ids[joined.reshape(-1, edge).T]
            symbols[np.arange(edge)[:, None] >= lengths[numbers]] = _PAD
            yield from _merge_columns(symbols, lengths[numbers], numbers, table)


def _merge_columns(
    symbols: np.ndarray, lengths: np.ndarray, numbers: np.ndarray, table: PairTable
) -> Iterator[tuple[int, bytes]]:
    """Merge the words in the columns of (edge, n) `symbols` until nothing merges."""
    rows = np.arange(len(symbols), dtype=np.int32)[:, None]
    ranks = table.find(symbols[:-1].ravel(), symbols[1:].ravel()).reshape(len(symbols) - 1, -1)
    while True:
        first = ((ranks << POSITIONS) | rows[:-1]).min(axis=0)  # the smallest rank, and the leftmost of equal ones
        at, best = first & ((1 << POSITIONS) - 1), first >> POSITIONS
        going = best != NEVER
        done = np.flatnonzero(~going)
        packed, size = symbols[:, done].T.tobytes(), 4 * len(symbols)
        starts = range(0, len(packed), size)
        for number, start, length in zip(numbers[done].tolist(), starts, (4 * lengths[done]).tolist(), strict=True):
            yield number, packed[start : start + length]
        if len(done) == len(numbers):
            return
        if len(done):
            symbols, ranks, at, best = symbols[:, going], ranks[:, going], at[going], best[going]
            lengths, numbers = lengths[going], numbers[going]
        _merge_once(symbols, ranks, rows, at, table.result[best], table)
        lengths -= 1


def _merge_once(
    symbols: np.ndarray, ranks: np.ndarray, rows: np.ndarray, at: np.ndarray, new: np.ndarray, table: PairTable
) -> None:
    """In every column symbols `at` and `at` + 1 become `new`, those below move up, and two ranks are looked up."""
    columns = np.arange(len(at))
    np.copyto(symbols[:-1], symbols[1:], where=rows[:-1] > at)
    symbols[-1] = _PAD
    symbols[at, columns] = new
    np.copyto(ranks[:-1], ranks[1:], where=rows[:-2] >= at)
    ranks[-1] = NEVER
    inner = np.flatnonzero(at > 0)
    before = at[inner] - 1
    ranks[before, inner] = table.find(symbols[before, inner], new[inner])
    inner = np.flatnonzero(at < len(ranks))
    here = at[inner]
    ranks[here, inner] = table.find(new[inner], symbols[here + 1, inner])


def _keys(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left.astype(np.uint64) << np.uint64(32)) | (right.astype(np.uint64) & np.uint64(0xFFFFFFFF))
