"""Rotary position embedding (Su et al. 2021): queries and keys are turned by an angle that grows with their position.

A head's D numbers are D/2 points in the plane; point j of the token at position m is turned by the angle m θ_j, with
θ_j = base^(−2j/D). A query at m and a key at n then meet with the difference (m − n) θ_j, so a score depends on how far
apart two tokens are and on nothing else about where they stand. Values are not turned.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import NamedTuple

import numpy as np

from minigpt.core.backend import Array, array_module
from minigpt.ops._common import Out, deliver

LAYOUTS = ("half", "interleaved")


class RopeScaling(NamedTuple):
    """How Llama 3.1 stretches rotations for a longer context: the slow ones `factor` times, the fast ones not at all.

    A rotation that turns less than `low` times over the old context is slow, one that turns more than `high` times is
    fast; in between the two are blended.
    """

    factor: float = 8.0
    low: float = 1.0
    high: float = 4.0
    context: int = 8192  # the old one, in tokens


class Rope(NamedTuple):
    """Which rotation.

    Attributes:
        base: 10,000 in Llama 1 and 2, 500,000 in Llama 3.
        layout: which numbers of a head form point j: "half" pairs x_j with x_{j+D/2} (Hugging Face), "interleaved" x_2j
            with x_{2j+1} (Meta's release). The same model has the rows of its query and key weights in another order.
        scaling: Llama 3.1's, or None.
    """

    base: float = 10000.0
    layout: str = "half"
    scaling: RopeScaling | None = None


class RopeCache(NamedTuple):
    cos: Array  # (1 or B, T, 1, D/2)
    sin: Array
    layout: str


def rope_frequencies(width: int, rope: Rope) -> np.ndarray:
    """θ_j = base^(−2j/D) in radians per token, (D/2,) float64, slowed down by the scaling if there is one."""
    if width % 2:
        raise ValueError(f"rotary positions turn pairs of numbers, but a head has {width}")
    frequencies = rope.base ** (-np.arange(0, width, 2) / width)
    if rope.scaling is None:
        return frequencies
    factor, low, high, context = rope.scaling
    turns = context * frequencies / (2 * math.pi)  # over the old context
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0)  # 0: slow, 1: fast
    return frequencies * (kept + (1.0 - kept) / factor)


def rope_table(xp: ModuleType, length: int, width: int, rope: Rope, positions: int | Array = 0) -> tuple[Array, Array]:
    """cos and sin of m θ_j in float64: (1, T, 1, D/2), or (B, T, 1, D/2) where every token has its own position."""
    at = positions + xp.arange(length)[None] if isinstance(positions, int) else positions  # (1 or B, T)
    angles = at[..., None, None] * xp.asarray(rope_frequencies(width, rope))  # (1 or B, T, 1, D/2)
    return xp.cos(angles), xp.sin(angles)


def rope_forward(x: Array, rope: Rope, *, positions: int | Array = 0, out: Out = None) -> tuple[Array, RopeCache]:
    """Turn every pair (a, b) of x by its angle φ = m θ_j: (a cos φ − b sin φ, a sin φ + b cos φ).

    Args:
        x: (B, T, H, D) queries or keys, D even.
        positions: m of x's first column (the others follow), or m of every token, (B, T) integers.
        out: may be x itself.
    Returns:
        y (B, T, H, D) and the cache for `rope_backward`.
    """
    xp = array_module(x)
    cos, sin = rope_table(xp, x.shape[1], x.shape[3], rope, positions)
    cache = RopeCache(cos.astype(x.dtype), sin.astype(x.dtype), rope.layout)
    return deliver(_turn(x, cache.cos, cache.sin, rope.layout), out), cache


def rope_backward(dy: Array, cache: RopeCache, *, out: Out = None) -> Array:
    """A rotation's transpose is its inverse: the gradient is turned back, by −φ."""
    return deliver(_turn(dy, cache.cos, -cache.sin, cache.layout), out)


def _turn(x: Array, cos: Array, sin: Array, layout: str) -> Array:
    y = array_module(x).empty(x.shape, x.dtype)
    (a, b), (turned_a, turned_b) = pairs(x, layout), pairs(y, layout)
    turned_a[...] = a * cos - b * sin
    turned_b[...] = a * sin + b * cos
    return y


def pairs(x: Array, layout: str) -> tuple[Array, Array]:
    """View (…, D) as the two coordinates of D/2 points, each (…, D/2)."""
    if layout == "interleaved":
        return x[..., 0::2], x[..., 1::2]
    return x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
