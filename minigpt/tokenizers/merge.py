"""Apply byte-pair merges to one word: always the earliest-learned pair that the word contains, leftmost first.

`merge_short` is the readable version, quadratic in the word's length and fastest for real words; `merge_long` does the
same with a heap and a linked list, so that a word of a million letters is no trap. A test holds one to the other.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise, repeat
from typing import TypeVar

from minigpt.core.errors import UserError

NEVER = 1 << 60  # the rank of a pair that has no merge
GONE = None  # where merge_long has merged a symbol into the one before it
LONG = 100  # symbols from which merge_long is the faster one

Symbol = TypeVar("Symbol", int, str)
# Of two neighbours: what comes first has the smallest number; then what they become. None: they stay.
Find = Callable[[Symbol, Symbol], tuple[float, Symbol] | None]


class Merges:
    """Pairs of ids with their rank (the order in which they were learned) and the id that each becomes."""

    def __init__(self, pairs: Iterable[tuple[int, int, int]] = ()):
        self.rank: dict[tuple[int, int], int] = {}
        self.result: list[int] = []
        for left, right, new in pairs:
            self.add(left, right, new)

    @classmethod
    def named(cls, vocab: Mapping[str, int], merges: Iterable[tuple[str, str, str]]) -> Merges:
        """From the strings of pairs and of what each becomes; one that the vocabulary lacks is a UserError."""
        try:
            return cls((vocab[left], vocab[right], vocab[new]) for left, right, new in merges)
        except KeyError as error:
            raise UserError(f"the merges need the token {error.args[0]!r}, which the vocabulary lacks") from None

    def add(self, left: int, right: int, new: int) -> None:
        """Add the next merge; a pair that is already there moves to this place."""
        self.rank[left, right] = len(self.result)
        self.result.append(new)

    def find(self, left: int, right: int) -> tuple[int, int] | None:
        """The rank of a pair and what it becomes; None if it has no merge."""
        rank = self.rank.get((left, right))
        return None if rank is None else (rank, self.result[rank])


def merge_word(symbols: Sequence[int], merges: Merges) -> list[int]:
    """The ids left when no two adjacent `symbols` have a merge any more."""
    return merge_short(symbols, merges) if len(symbols) < LONG else merge_long(symbols, merges.find)


def merge_short(symbols: Sequence[int], merges: Merges) -> list[int]:
    """Find the smallest rank, merge there, look up the two pairs that arose, repeat."""
    symbols, get, result = list(symbols), merges.rank.get, merges.result
    ranks = list(map(get, pairwise(symbols), repeat(NEVER)))
    while ranks:
        best = min(ranks)
        if best == NEVER:
            break
        i = ranks.index(best)
        new = result[best]
        symbols[i : i + 2] = (new,)
        del ranks[i]
        if i:
            ranks[i - 1] = get((symbols[i - 1], new), NEVER)
        if i < len(ranks):
            ranks[i] = get((new, symbols[i + 1]), NEVER)
    return symbols


def merge_long(symbols: Iterable[Symbol], find: Find[Symbol]) -> list[Symbol]:
    """The same in O(n log n): a heap of (rank, position, pair, result) whose entries are checked when they come up."""
    left_over: list[Symbol | None] = list(symbols)
    n = len(left_over)
    after, before = list(range(1, n + 1)), list(range(-1, n - 1))  # neighbours; n and -1 are the ends
    heap: list[tuple] = []
    for i in range(n - 1):
        _offer(heap, find, left_over, i, i + 1)
    while heap:
        _, i, left, right, new = heapq.heappop(heap)
        j = after[i]
        if left_over[i] != left or j == n or left_over[j] != right:
            continue  # one of the two was merged into something else
        left_over[i], left_over[j] = new, GONE
        after[i] = after[j]
        if after[i] < n:
            before[after[i]] = i
            _offer(heap, find, left_over, i, after[i])
        if before[i] >= 0:
            _offer(heap, find, left_over, before[i], i)
    return [s for s in left_over if s is not GONE]


def _offer(heap: list[tuple], find: Find[Symbol], symbols: list[Symbol | None], i: int, j: int) -> None:
    """Note the merge of two neighbours, if there is one."""
    left, right = symbols[i], symbols[j]
    if (found := find(left, right)) is not None:
        heapq.heappush(heap, (found[0], i, left, right, found[1]))
