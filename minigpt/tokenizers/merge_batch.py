"""Merge many words at once, with NumPy: in every round each word makes the merge that `merge.merge_short` would make.

Words stand in columns, padded, so a round is a few operations along rows of thousands of words, and no Python is run
for a single word. A test holds it to `merge_short`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minigpt.tokenizers.hash_table import HashTable, pair_keys
from minigpt.tokenizers.merge import LONG, Merges
from minigpt.tokenizers.stretches import Stretches

POSITIONS = 7  # bits that hold a position in a word: LONG is below 2⁷
NEVER = (1 << 24) - 1  # the rank of a pair without a merge; with a position behind it, it fits 31 bits
_EDGES = (7, 11, 20, LONG - 1)  # words of up to so many bytes are padded to one length
_PAD = -1


class PairTable:
    """The ranks of pairs, for many pairs at a time.

    Args:
        byte_ids: (256,) the ids of the bytes.
    """

    def __init__(self, merges: Merges, byte_ids: np.ndarray):
        pairs = np.array(list(merges.rank), np.int64).reshape(-1, 2)
        self.result = np.array([*merges.result, _PAD], np.int32)
        self._ranks = HashTable(NEVER)
        self._ranks.put(pair_keys(pairs[:, 0], pairs[:, 1]), np.array(list(merges.rank.values()), np.int32))
        self.byte_ids = byte_ids
        self.of_bytes = self.find(np.repeat(byte_ids, 256), np.tile(byte_ids, 256))  # rank of two bytes, 256 a + b

    def find(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """The ranks of the pairs; NEVER where there is no merge."""
        return self._ranks.find(pair_keys(left, right))


def merge_words(words: Stretches, table: PairTable) -> Stretches:
    """The ids of each word, of 1 to LONG − 1 bytes."""
    data, starts, lengths = words
    data = np.concatenate([data, np.zeros(LONG, np.uint8)])
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
