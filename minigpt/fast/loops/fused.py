"""Operations that follow one another as one loop: what the second would read again is still at hand.

They have the names and signatures of those in `minigpt.kernels.fused`; blocks ask for them by name (see
`minigpt.blocks.fused`). But a residual sum is worked out at once: no norm has to read it from a far memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minigpt.core import workspace
from minigpt.fast._common import by_rows
from minigpt.fast.activation import DerivativeCache
from minigpt.fast.loops.activation import gelu_erf, gelu_tanh
from minigpt.fast.loops.compiled import compiled
from minigpt.fast.loops.dropout import dropout_forward, dropout_multiplier
from minigpt.fast.loops.norm import normalize_gradient
from minigpt.ops.dropout import DropoutCache, DropoutKey
from minigpt.ops.norm import LayerNormCache, RMSNormCache


@compiled
def _add(x: np.ndarray, residual: np.ndarray, bias: np.ndarray | None) -> None:
    """x ← residual + (x + b)."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] += residual[i, j] if bias is None else residual[i, j] + bias[j]


@compiled
def _dropout_add(x: np.ndarray, residual: np.ndarray, multiplier: np.ndarray, bias: np.ndarray | None) -> None:
    """x ← residual + m (x + b)."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y = x[i, j] if bias is None else x[i, j] + bias[j]
            x[i, j] = residual[i, j] + multiplier[i, j] * y


def _sum(
    x: np.ndarray, bias: np.ndarray | None, residual: np.ndarray | None, rate: float, key: DropoutKey | None
) -> tuple[np.ndarray, DropoutCache]:
    """residual + dropout(x + bias), written over x (contiguous), for a backward pass through `dropout_backward`."""
    if residual is None:
        y = x if bias is None else np.add(x, bias, out=x)
        return dropout_forward(y, rate, key, out=y)
    if key is None or not 0.0 < rate < 1.0:
        _, cache = dropout_forward(x[:0], rate, None)  # what is no rate is refused there
        by_rows(_add, (x, residual), (), bias)
        return x, cache
    multiplier = dropout_multiplier(x, rate, key)
    by_rows(_dropout_add, (x, residual, multiplier), (), bias)
    return x, DropoutCache(multiplier)


def _normalize_gradient_plus(
    dy: np.ndarray,
    normalized: np.ndarray,
    inverse: np.ndarray,
    plus: np.ndarray,
    dx: np.ndarray,
    gain: np.ndarray,
    centred: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """`normalize_gradient` onto another gradient of x, which went past the norm.

    It is not compiled: a compiled caller holds a copy of its own of a loop, and the processor runs this one or that,
    with sums in another order, depending on whether the loops were just compiled or read from disk.
    """
    return normalize_gradient(dy, normalized, inverse, dx, gain, centred, True, plus)


def _norm_backward_add(
    dy: np.ndarray,
    cache: LayerNormCache | RMSNormCache,
    dgain: np.ndarray,
    dbias: np.ndarray | None,
    plus: np.ndarray,
) -> np.ndarray:
    """plus + dx of either norm."""
    dx, inputs = workspace.empty(dy.shape, dy.dtype), (dy, *cache[:2], plus)
    for parts in by_rows(_normalize_gradient_plus, inputs, (dx,), cache.gain, isinstance(cache, LayerNormCache)):
        dgain += parts[0]
        if dbias is not None:
            dbias += parts[1]
    return dx


def _bias_activation(
    x: np.ndarray, bias: np.ndarray, *, loop: Callable[..., None]
) -> tuple[np.ndarray, DerivativeCache]:
    """f(x + b), and dy/dx beside it."""
    y, derivative = workspace.empty(x.shape, x.dtype), workspace.empty(x.shape, x.dtype)
    by_rows(loop, (x,), (y, derivative), bias)
    return y, DerivativeCache(derivative)


@compiled
def _product_and_sums(dy: np.ndarray, slope: np.ndarray, dx: np.ndarray) -> np.ndarray:
    """dx = dy · dy/dx, and these rows' part of Σ dx."""
    sums = np.zeros(dy.shape[1], dy.dtype)
    for i in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            d = dy[i, j] * slope[i, j]
            dx[i, j] = d
            sums[j] += d
    return sums


def _bias_activation_backward(dy: np.ndarray, cache: DerivativeCache, dbias: np.ndarray) -> np.ndarray:
    """dx; Σ dx is added to dbias."""
    dx = workspace.empty(dy.shape, dy.dtype)
    for part in by_rows(_product_and_sums, (dy, cache.derivative), (dx,)):
        dbias += part
    return dx


FUSED: dict[str, Any] = {
    "bias_gelu_tanh": (partial(_bias_activation, loop=gelu_tanh), _bias_activation_backward),
    "bias_gelu_erf": (partial(_bias_activation, loop=gelu_erf), _bias_activation_backward),
    "sum": _sum,
    "norm_backward_add": _norm_backward_add,
}
