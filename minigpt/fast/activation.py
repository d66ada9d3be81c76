"""Activations, fast: block by block, with the derivative computed on the way forward, while everything is in cache."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minigpt import workspace
from minigpt.fast._common import blocks, rows, settle, target

_SCALE = math.sqrt(2.0 / math.pi)
_CUBIC = 0.044715


class GeluTanhCache(NamedTuple):
    derivative: np.ndarray  # dy/dx, any shape


def gelu_tanh_forward(x: np.ndarray, *, out: np.ndarray | None = None) -> tuple[np.ndarray, GeluTanhCache]:
    """See `minigpt.ops.gelu_tanh_forward`.

    With h = ½ (1 + tanh u): y = x h and dy/dx = h + 2 y (1 − h) u′, since h′ = 2 h (1 − h) u′. Eleven multiplications
    and additions and one tanh for each number, both ways together.
    """
    y = target(out, x.shape, x.dtype)
    derivative = workspace.empty(x.shape, x.dtype)
    x_rows, y_rows, d_rows = rows(x), rows(y), rows(derivative)
    for block in blocks(*x_rows.shape):
        value, result, slope = x_rows[block], y_rows[block], d_rows[block]
        h = workspace.empty(value.shape, x.dtype)
        np.multiply(value, value, out=slope)
        np.multiply(slope, _SCALE * _CUBIC, out=h)
        h += _SCALE
        h *= value  # u
        np.tanh(h, out=h)
        h *= 0.5
        h += 0.5
        np.multiply(value, h, out=result)
        slope *= 6.0 * _SCALE * _CUBIC
        slope += 2.0 * _SCALE  # 2 u′
        slope *= result
        slope -= np.multiply(slope, h, out=_scratch(h))
        slope += h
    return settle(y, out), GeluTanhCache(derivative)


def _scratch(like: np.ndarray) -> np.ndarray:
    return workspace.empty(like.shape, like.dtype)


def gelu_tanh_backward(dy: np.ndarray, cache: GeluTanhCache, *, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy · (dy/dx of the forward pass)."""
    dx = target(out, dy.shape, dy.dtype)
    np.multiply(dy, cache.derivative, out=dx)
    return settle(dx, out)
