"""Softmax: scores to probabilities along the last axis."""

from __future__ import annotations

from typing import NamedTuple

from minigpt.core.backend import Array, array_module
from minigpt.ops._common import Out, deliver


class SoftmaxCache(NamedTuple):
    probabilities: Array  # (…, S)


def softmax_forward(x: Array, *, out: Out = None) -> tuple[Array, SoftmaxCache]:
    """y_i = exp(x_i) / Σ_j exp(x_j).

    The row's maximum is subtracted first: it cancels in the quotient, and no exponential overflows. An entry of −∞
    has probability 0; a row of nothing but −∞ (nothing to attend to) gives zeros instead of NaN.

    Args:
        x: (…, S).
    Returns:
        y (…, S) and the cache for `softmax_backward`.
    """
    xp = array_module(x)
    largest = x.max(axis=-1, keepdims=True)
    largest = xp.where(xp.isfinite(largest), largest, xp.zeros_like(largest))
    y = xp.exp(x - largest)
    total = y.sum(axis=-1, keepdims=True)
    y /= xp.where(total == 0, xp.ones_like(total), total)
    y = deliver(y, out)
    return y, SoftmaxCache(y)


def softmax_backward(dy: Array, cache: SoftmaxCache, *, out: Out = None) -> Array:
    """The Jacobian is ∂y_i/∂x_j = y_i (δ_ij − y_j), hence dx = y (dy − Σ_j dy_j y_j), row by row."""
    y = cache.probabilities
    dx = y * (dy - (dy * y).sum(axis=-1, keepdims=True))
    return deliver(dx, out)
