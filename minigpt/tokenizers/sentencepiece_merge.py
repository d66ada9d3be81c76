"""SentencePiece's merging: join the adjacent pair whose string is the piece with the highest score, leftmost first.

Unlike `merge`, it does not matter which two parts a piece was learned from: any two that spell it may be joined.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from itertools import pairwise

NEVER = float("-inf")
LONG = 100  # characters from which the heap is the faster way


def merge_by_score(text: str, scores: Mapping[str, float], unused: Collection[str] = ()) -> list[str]:
    """Merge the characters of `text`. A piece in `unused` takes part, and is taken apart again at the end."""
    parts: dict[str, tuple[str, str]] = {}
    merge = _merge_short if len(text) < LONG else _merge_long
    pieces = merge(text, scores, parts)
    return [p for piece in pieces for p in _take_apart(piece, parts, unused)] if unused else pieces


def _merge_short(text: str, scores: Mapping[str, float], parts: dict[str, tuple[str, str]]) -> list[str]:
    pieces = list(text)
    order = [scores.get(a + b, NEVER) for a, b in pairwise(pieces)]
    while order:
        best = max(order)
        if best == NEVER:
            break
        i = order.index(best)
        new = pieces[i] + pieces[i + 1]
        parts[new] = (pieces[i], pieces[i + 1])
        pieces[i : i + 2] = (new,)
        del order[i]
        if i:
            order[i - 1] = scores.get(pieces[i - 1] + new, NEVER)
        if i < len(order):
            order[i] = scores.get(new + pieces[i + 1], NEVER)
    return pieces


def _merge_long(text: str, scores: Mapping[str, float], parts: dict[str, tuple[str, str]]) -> list[str]:
    pieces, n = list(text), len(text)
    after, before = list(range(1, n + 1)), list(range(-1, n - 1))
    heap: list[tuple[float, int, str, str]] = []

    def offer(i: int, j: int) -> None:
        a, b = pieces[i], pieces[j]
        if (score := scores.get(a + b)) is not None:
            heapq.heappush(heap, (-score, i, a, b))

    for i in range(n - 1):
        offer(i, i + 1)
    while heap:
        _, i, a, b = heapq.heappop(heap)
        j = after[i]
        if pieces[i] != a or j == n or pieces[j] != b:
            continue  # one of the two was merged into something else
        pieces[i], pieces[j] = a + b, ""
        parts[a + b] = (a, b)
        after[i] = after[j]
        if after[i] < n:
            before[after[i]] = i
            offer(i, after[i])
        if before[i] >= 0:
            offer(before[i], i)
    return [p for p in pieces if p]


def _take_apart(piece: str, parts: Mapping[str, tuple[str, str]], unused: Collection[str]) -> list[str]:
    if piece not in unused or piece not in parts:
        return [piece]
    return [p for part in parts[piece] for p in _take_apart(part, parts, unused)]
