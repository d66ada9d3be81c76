"""SentencePiece's merging: join the adjacent pair whose string is the piece with the highest score, leftmost first.

Unlike `merge`, it does not matter which two parts a piece was learned from: any two that spell it may be joined.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Mapping
from functools import partial
from itertools import pairwise

from minigpt.tokenizers.merge import LONG, merge_long

NEVER = float("-inf")


def find(scores: Mapping[str, float], left: str, right: str) -> tuple[float, str] | None:
    """Minus the score of two pieces together, and the two as one; None if that is no piece."""
    score = scores.get(left + right, NEVER)
    return None if score == NEVER else (-score, left + right)


def merge_by_score(text: str, scores: Mapping[str, float], unused: Collection[str] = ()) -> list[str]:
    """Merge the characters of `text`. A piece in `unused` takes part, and is taken apart again at the end."""
    pieces = merge_short(text, scores) if len(text) < LONG else merge_long(text, partial(find, scores))
    return [p for piece in pieces for p in _taken_apart(piece, scores, unused)] if unused else pieces


def merge_short(text: str, scores: Mapping[str, float]) -> list[str]:
    """Find the highest score, merge there, look up the two pairs that arose, repeat."""
    pieces = list(text)
    order = [scores.get(a + b, NEVER) for a, b in pairwise(pieces)]
    while order:
        best = max(order)
        if best == NEVER:
            break
        i = order.index(best)
        new = pieces[i] + pieces[i + 1]
        pieces[i : i + 2] = (new,)
        del order[i]
        if i:
            order[i - 1] = scores.get(pieces[i - 1] + new, NEVER)
        if i < len(order):
            order[i] = scores.get(new + pieces[i + 1], NEVER)
    return pieces


def _taken_apart(piece: str, scores: Mapping[str, float], unused: Collection[str]) -> list[str]:
    """A piece that is not to be used as the two that it was merged from: those are left if it is no piece itself."""
    if piece not in unused or len(piece) == 1:
        return [piece]
    return merge_by_score(piece, ChainMap({piece: NEVER}, scores), unused)
