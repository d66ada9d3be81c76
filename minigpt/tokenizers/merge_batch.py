"""Merge many words at once, with NumPy: in every round each word makes the merge that `merge.merge_short` would make.

Words stand in columns, padded, so a round is a few operations along rows of thousands of words, and no Python is run
for a single word. A test holds it to `merge_short`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np

from minigpt.tokenizers.merge import LONG, Merges

POSITIONS = 7  # bits that hold a position in a word: LONG is below 2⁷
NEVER = (1 << 24) - 1  # the rank of a pair without a merge; with a position behind it, it fits 31 bits
_EDGES = (7, 11, 20, LONG - 1)  # words of up to so many bytes are padded to one length
_PAD = -1
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio: spreads keys that follow one another


class Stretches(NamedTuple):
    """Many lists of ids in one array: list k is `size[k]` of the `ids`, from `start[k]` on."""

    ids: np.ndarray
    start: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, packed: Sequence[bytes]) -> Stretches:
        """Of lists whose ids are packed as int32."""
        size = np.fromiter(map(len, packed), np.int64, len(packed)) // 4
        return cls(np.frombuffer(b"".join(packed), np.int32), size.cumsum() - size, size)

    def joined(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The lists with these numbers, end to end, and where each of them ends."""
        size = self.size[numbers]
        ends = size.cumsum()
        total = int(ends[-1]) if len(ends) else 0
        return self.ids[np.arange(total) + np.repeat(self.start[numbers] - ends + size, size)], ends


def numbered(words: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The distinct words, in the order in which they come, and which of them each word is."""
    numbers: dict[str, int] = defaultdict(count().__next__)
    which = np.fromiter(map(numbers.__getitem__, words), np.int64, len(words))
    return list(numbers), which


class PairTable:
    """The ranks of pairs as a hash table with open addresses, which is asked for many pairs at a time.

    Args:
        byte_ids: (256,) the ids of the bytes.
    """

    def __init__(self, merges: Merges, byte_ids: np.ndarray):
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
        self.byte_ids = byte_ids
        self.of_bytes = self.find(np.repeat(byte_ids, 256), np.tile(byte_ids, 256))  # rank of two bytes, 256 a + b

    def _slots(self, keys: np.ndarray) -> np.ndarray:
        return ((keys * _MULTIPLIER) >> self._shift).astype(np.int64)

    def find(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """The ranks of the pairs; NEVER where there is no merge."""
        keys = _keys(left, right)
        slots = self._slots(keys)
        ranks = self._ranks[slots]
        open_ = np.flatnonzero((self._keys[slots] != keys) & (ranks != NEVER))  # somebody else lies there
        ranks[open_] = NEVER
        for _ in range(1, self._probes):
            if not len(open_):
                break
            slots[open_] = (slots[open_] + 1) & self._mask
            at = slots[open_]
            same = self._keys[at] == keys[open_]
            ranks[open_[same]] = self._ranks[at[same]]
            open_ = open_[~same & (self._ranks[at] != NEVER)]
        return ranks


def merge_words(words: Sequence[bytes], table: PairTable) -> Stretches:
    """The ids of each word, of 1 to LONG − 1 bytes."""
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    starts = lengths.cumsum() - lengths
    data = np.frombuffer(b"".join(words) + bytes(LONG), np.uint8)
    which = np.searchsorted(_EDGES, lengths)
    start, size, pieces, known = np.zeros_like(lengths), np.zeros_like(lengths), [np.empty(0, np.int32)], 0
    for group, edge in enumerate(_EDGES):
        numbers = np.flatnonzero(which == group)
        if not len(numbers):
            continue
        rows = data[starts[numbers] + np.arange(edge)[:, None]]
        for some, symbols, sizes in _merge_columns(rows, lengths[numbers], table):
            done = numbers[some]
            ids = symbols.T[np.arange(edge) < sizes[:, None]]
            start[done], size[done] = known + sizes.cumsum() - sizes, sizes
            pieces.append(ids)
            known += len(ids)
    return Stretches(np.concatenate(pieces), start, size)


def _merge_columns(
    data: np.ndarray, lengths: np.ndarray, table: PairTable
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Merge the words in the columns of the (edge, n) bytes.

    Yields:
        after each round, of the words that are finished: their numbers, their symbols (edge, …) and their lengths.
    """
    rows = np.arange(len(data), dtype=np.int32)[:, None]
    beyond = rows >= lengths
    symbols = table.byte_ids[data]
    symbols[beyond] = _PAD
    ranks = table.of_bytes[(data[:-1].astype(np.intp) << 8) | data[1:]]
    ranks[beyond[1:]] = NEVER
    numbers = np.arange(len(lengths))
    while len(numbers):
        first = ((ranks << POSITIONS) | rows[:-1]).min(axis=0)  # the smallest rank, and the leftmost of equal ones
        at, best = first & ((1 << POSITIONS) - 1), first >> POSITIONS
        going = best != NEVER
        done = np.flatnonzero(~going)
        if len(done):
            yield numbers[done], symbols.take(done, 1), lengths[done]
            left = np.flatnonzero(going)
            symbols, ranks, at, best = symbols.take(left, 1), ranks.take(left, 1), at[left], best[left]
            lengths, numbers = lengths[left], numbers[left]
        _merge_once(symbols, ranks, rows, at, table.result[best], table)
        lengths = lengths - 1


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
    above, below = np.flatnonzero(at > 0), np.flatnonzero(at < len(ranks))
    before, here = at[above] - 1, at[below]
    left = np.concatenate([symbols[before, above], new[below]])
    right = np.concatenate([new[above], symbols[here + 1, below]])
    found = table.find(left, right)
    ranks[before, above], ranks[here, below] = found[: len(above)], found[len(above) :]


def _keys(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left.astype(np.uint64) << np.uint64(32)) | (right.astype(np.uint64) & np.uint64(0xFFFFFFFF))
