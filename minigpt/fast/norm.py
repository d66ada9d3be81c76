"""LayerNorm and RMSNorm, fast: in blocks of rows that stay in cache, with means as matrix–vector products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigpt.core import workspace
from minigpt.fast._common import by_rows, ones
from minigpt.ops.norm import LayerNormCache, RMSNormCache

Sums = tuple[np.ndarray, np.ndarray | None]  # a block's part of the gradients of gain and bias, (C,)


def layernorm_forward(
    x: np.ndarray,
    gain: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    eps: float = 1e-5,
    out: np.ndarray | None = None,
    loop: Callable[..., None] | None = None,
) -> tuple[np.ndarray, LayerNormCache]:
    """See `minigpt.ops.layernorm_forward`; `loop` takes the place of `_normalize`."""
    y = workspace.empty(x.shape, x.dtype) if out is None else out
    normalized = workspace.empty(x.shape, x.dtype)
    inverse_std = workspace.empty((*x.shape[:-1], 1), x.dtype)
    by_rows(loop or _normalize, (x,), (y, normalized, inverse_std), gain, bias, eps, True)
    return y, LayerNormCache(normalized, inverse_std, gain)


def rmsnorm_forward(
    x: np.ndarray,
    gain: np.ndarray,
    *,
    eps: float = 1e-6,
    out: np.ndarray | None = None,
    loop: Callable[..., None] | None = None,
) -> tuple[np.ndarray, RMSNormCache]:
    """See `minigpt.ops.rmsnorm_forward`; `loop` takes the place of `_normalize`."""
    y = workspace.empty(x.shape, x.dtype) if out is None else out
    normalized = workspace.empty(x.shape, x.dtype)
    inverse_rms = workspace.empty((*x.shape[:-1], 1), x.dtype)
    by_rows(loop or _normalize, (x,), (y, normalized, inverse_rms), gain, None, eps, False)
    return y, RMSNormCache(normalized, inverse_rms, gain)


def _normalize(
    x: np.ndarray,
    y: np.ndarray,
    normalized: np.ndarray,
    inverse: np.ndarray,
    gain: np.ndarray,
    bias: np.ndarray | None,
    eps: float,
    centred: bool,
) -> None:
    """Of some rows (n, C), with their mean taken off or not: x̂ = x/√(mean x² + ε) and y = x̂ g + b."""
    width = x.shape[1]
    if centred:
        mean = x @ ones(width, x.dtype)
        mean *= 1.0 / width
        x = np.subtract(x, mean[:, None], out=normalized)
    square = np.vecdot(x, x)
    square *= 1.0 / width
    square += eps
    np.sqrt(square, out=square)
    np.reciprocal(square, out=inverse[:, 0])
    np.multiply(x, inverse, out=normalized)
    np.multiply(normalized, gain, out=y)
    if bias is not None:
        y += bias


def layernorm_backward(
    dy: np.ndarray,
    cache: LayerNormCache,
    dgain: np.ndarray,
    dbias: np.ndarray | None = None,
    *,
    out: np.ndarray | None = None,
    loop: Callable[..., Sums] | None = None,
) -> np.ndarray:
    """See `minigpt.ops.layernorm_backward`; `loop` takes the place of `_normalize_gradient`."""
    normalized, inverse_std, gain = cache
    dx = workspace.empty(dy.shape, dy.dtype) if out is None else out
    inputs = dy, normalized, inverse_std
    for gain_part, bias_part in by_rows(loop or _normalize_gradient, inputs, (dx,), gain, True, dbias is not None):
        dgain += gain_part
        if dbias is not None:
            dbias += bias_part
    return dx


def rmsnorm_backward(
    dy: np.ndarray,
    cache: RMSNormCache,
    dgain: np.ndarray,
    *,
    out: np.ndarray | None = None,
    loop: Callable[..., Sums] | None = None,
) -> np.ndarray:
    """See `minigpt.ops.rmsnorm_backward`; `loop` takes the place of `_normalize_gradient`."""
    normalized, inverse_rms, gain = cache
    dx = workspace.empty(dy.shape, dy.dtype) if out is None else out
    inputs = dy, normalized, inverse_rms
    for gain_part, _ in by_rows(loop or _normalize_gradient, inputs, (dx,), gain, False, False):
        dgain += gain_part
    return dx


def _normalize_gradient(
    dy: np.ndarray,
    normalized: np.ndarray,
    inverse: np.ndarray,
    dx: np.ndarray,
    gain: np.ndarray,
    centred: bool,
    biased: bool,
) -> Sums:
    """With h = dy g: dx = (h − x̂ mean(h x̂) − mean h)/√…, without mean h if means were not taken off.

    Returns:
        these rows' part of the gradients of gain and bias.
    """
    width, every_row = dy.shape[1], ones(len(dy), dy.dtype)
    product = np.multiply(dy, normalized, out=workspace.empty(dy.shape, dy.dtype))
    sums = every_row @ product, every_row @ dy if biased else None
    h = np.multiply(dy, gain, out=dx)
    if centred:
        mean = h @ ones(width, dy.dtype)
        mean *= 1.0 / width
    along = np.vecdot(h, normalized)
    along *= 1.0 / width
    np.multiply(normalized, along[:, None], out=product)
    h -= product
    if centred:
        h -= mean[:, None]
    h *= inverse
    return sums
