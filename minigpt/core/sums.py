"""The orders in which the parts of a sum are added: floating-point numbers come to other bits in another order.

In a tree, neighbours are added first, then neighbouring pairs, and so on: ((0 + 1) + (2 + 3)) + …. A part of such a sum
that begins at a multiple of a power of two, and is that long, can be made anywhere: so the result is the same on one
process as on 2, 4, 8, … that hold equal parts of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from minigpt.core.backend import Array

ORDERS = ("tree", "sequence")
BLOCK = 1 << 16  # numbers whose squares are summed in their own precision, for a norm; beyond it in float64


def add_up(parts: Sequence[Array], order: str) -> Array:
    """Add all parts into the first, which is returned; in a tree, others are overwritten as well."""
    if order == "sequence":
        for part in parts[1:]:
            parts[0][...] += part
        return parts[0]
    gap = 1
    while gap < len(parts):
        for place in range(0, len(parts) - gap, 2 * gap):
            parts[place][...] += parts[place + gap]
        gap *= 2
    return parts[0]
