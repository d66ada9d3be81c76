"""Rotary positions, fast: tables kept, one complex product where a point's coordinates are neighbours, in place."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minigpt.core import workspace
from minigpt.fast._common import BLOCK
from minigpt.ops.rope import Rope, pairs, rope_table


class RopeCache(NamedTuple):
    rotation: np.ndarray  # cos φ + i sin φ ("interleaved", complex) or cos and sin, (2, …); (1 or B, T, 1, D/2)
    layout: str


@lru_cache(maxsize=32)
def _rotation(length: int, width: int, rope: Rope, start: int, dtype: np.dtype) -> np.ndarray:
    rotation = _make_rotation(length, width, rope, start, dtype)
    rotation.flags.writeable = False
    return rotation


def _make_rotation(length: int, width: int, rope: Rope, positions: int | np.ndarray, dtype: np.dtype) -> np.ndarray:
    cos, sin = rope_table(np, length, width, rope, positions)
    if rope.layout == "interleaved":
        return (cos + 1j * sin).astype(np.result_type(dtype, np.complex64))
    return np.stack([cos, sin]).astype(dtype)


def rope_forward(
    x: np.ndarray, rope: Rope, *, positions: int | np.ndarray = 0, out: np.ndarray | None = None
) -> tuple[np.ndarray, RopeCache]:
    """See `minigpt.ops.rope_forward`."""
    if isinstance(positions, int):
        rotation = _rotation(x.shape[1], x.shape[3], rope, positions, x.dtype)
    else:
        rotation = _make_rotation(x.shape[1], x.shape[3], rope, positions, x.dtype)
    return _turn(x, rotation, rope.layout, out), RopeCache(rotation, rope.layout)


def rope_backward(dy: np.ndarray, cache: RopeCache, *, out: np.ndarray | None = None) -> np.ndarray:
    """See `minigpt.ops.rope_backward`."""
    rotation, layout = cache
    if layout == "interleaved":
        return _turn(dy, rotation.conj(), layout, out)
    return _turn(dy, np.stack([rotation[0], -rotation[1]]), layout, out)


def _turn(x: np.ndarray, rotation: np.ndarray, layout: str, out: np.ndarray | None) -> np.ndarray:
    """Turn x into `out`, which may be x itself."""
    y = out if out is not None and out.strides[-1] == out.itemsize else workspace.empty(x.shape, x.dtype)
    if layout == "interleaved":
        if x.strides[-1] != x.itemsize:
            x = np.ascontiguousarray(x)
        np.multiply(x.view(rotation.dtype), rotation, out=y.view(rotation.dtype))
    else:
        b, t, h, d = x.shape
        rows, span = max(1, BLOCK // (t * h * d)), max(1, BLOCK // (h * d))
        for row, start in itertools.product(range(0, b, rows), range(0, t, span)):
            batch, tokens = slice(row, row + rows), slice(start, start + span)
            cos, sin = rotation[:, slice(None) if rotation.shape[1] == 1 else batch, tokens]
            _turn_halves(x[batch, tokens], y[batch, tokens], cos, sin)
    if out is None or out is y:
        return y
    out[...] = y
    return out


def _turn_halves(x: np.ndarray, y: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> None:
    """(a cos − b sin, a sin + b cos) of one block; all of x is read before y is written, which may be the same."""
    (a, b), (turned_a, turned_b) = pairs(x, "half"), pairs(y, "half")
    first, second, product = (workspace.empty(a.shape, a.dtype) for _ in range(3))
    np.multiply(a, cos, out=first)
    first -= np.multiply(b, sin, out=product)
    np.multiply(a, sin, out=second)
    np.multiply(b, cos, out=product)
    turned_a[...] = first
    np.add(second, product, out=turned_b)
