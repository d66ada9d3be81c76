"""LayerNorm and RMSNorm, fast: in blocks of rows that stay in cache, with means as matrix–vector products."""

from __future__ import annotations

import numpy as np

from minigpt.core import workspace
from minigpt.fast._common import add_in_order, blocks, column_sums, ones, rows, settle, target
from minigpt.fast.team import each
from minigpt.ops.norm import LayerNormCache, RMSNormCache


def layernorm_forward(
    x: np.ndarray,
    gain: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    eps: float = 1e-5,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray, LayerNormCache]:
    """See `minigpt.ops.layernorm_forward`."""
    width = x.shape[-1]
    y = target(out, x.shape, x.dtype)
    normalized = workspace.empty(x.shape, x.dtype)
    inverse_std = workspace.empty((*x.shape[:-1], 1), x.dtype)
    x_rows, y_rows, n_rows, s_rows = rows(x), rows(y), rows(normalized), inverse_std.reshape(-1)

    def one(block: slice) -> None:
        mean = x_rows[block] @ ones(width, x.dtype)
        mean *= 1.0 / width
        centred = np.subtract(x_rows[block], mean[:, None], out=n_rows[block])
        variance = np.vecdot(centred, centred)
        variance *= 1.0 / width
        variance += eps
        np.sqrt(variance, out=variance)
        np.reciprocal(variance, out=s_rows[block])
        centred *= s_rows[block, None]
        np.multiply(centred, gain, out=y_rows[block])
        if bias is not None:
            y_rows[block] += bias

    each(blocks(*x_rows.shape), one, work=x_rows.size)
    return settle(y, out), LayerNormCache(normalized, inverse_std, gain)


def layernorm_backward(
    dy: np.ndarray,
    cache: LayerNormCache,
    dgain: np.ndarray,
    dbias: np.ndarray | None = None,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """See `minigpt.ops.layernorm_backward`."""
    normalized, inverse_std, gain = cache
    width = dy.shape[-1]
    dx = target(out, dy.shape, dy.dtype)
    dy_rows, dx_rows, n_rows, s_rows = rows(dy), rows(dx), rows(normalized), inverse_std.reshape(-1)
    sums: dict[int, tuple[np.ndarray | None, ...]] = {}  # each block's part of the parameters' gradients

    def one(block: slice) -> None:
        d, x_hat, result = dy_rows[block], n_rows[block], dx_rows[block]
        product = workspace.empty(d.shape, d.dtype)
        np.multiply(d, x_hat, out=product)
        sums[block.start] = column_sums(product), None if dbias is None else column_sums(d)
        g = np.multiply(d, gain, out=result)  # ∂L/∂x̂
        mean = g @ ones(width, dy.dtype)
        mean *= 1.0 / width
        along = np.vecdot(g, x_hat)
        along *= 1.0 / width
        np.multiply(x_hat, along[:, None], out=product)
        g -= product
        g -= mean[:, None]
        g *= s_rows[block, None]

    each(blocks(*dy_rows.shape), one, work=dy_rows.size)
    add_in_order(sums, dgain, dbias)
    return settle(dx, out)


def rmsnorm_forward(
    x: np.ndarray, gain: np.ndarray, *, eps: float = 1e-6, out: np.ndarray | None = None
) -> tuple[np.ndarray, RMSNormCache]:
    """See `minigpt.ops.rmsnorm_forward`."""
    y = target(out, x.shape, x.dtype)
    normalized = workspace.empty(x.shape, x.dtype)
    inverse_rms = workspace.empty((*x.shape[:-1], 1), x.dtype)
    x_rows, y_rows, n_rows, r_rows = rows(x), rows(y), rows(normalized), inverse_rms.reshape(-1)

    def one(block: slice) -> None:
        square = np.vecdot(x_rows[block], x_rows[block])
        square *= 1.0 / x.shape[-1]
        square += eps
        np.sqrt(square, out=square)
        np.reciprocal(square, out=r_rows[block])
        np.multiply(x_rows[block], r_rows[block, None], out=n_rows[block])
        np.multiply(n_rows[block], gain, out=y_rows[block])

    each(blocks(*x_rows.shape), one, work=x_rows.size)
    return settle(y, out), RMSNormCache(normalized, inverse_rms, gain)


def rmsnorm_backward(
    dy: np.ndarray, cache: RMSNormCache, dgain: np.ndarray, *, out: np.ndarray | None = None
) -> np.ndarray:
    """See `minigpt.ops.rmsnorm_backward`."""
    normalized, inverse_rms, gain = cache
    dx = target(out, dy.shape, dy.dtype)
    dy_rows, dx_rows, n_rows, r_rows = rows(dy), rows(dx), rows(normalized), inverse_rms.reshape(-1)
    sums: dict[int, tuple[np.ndarray | None, ...]] = {}  # each block's part of the parameters' gradients

    def one(block: slice) -> None:
        d, x_hat, result = dy_rows[block], n_rows[block], dx_rows[block]
        product = workspace.empty(d.shape, d.dtype)
        np.multiply(d, x_hat, out=product)
        sums[block.start] = (column_sums(product),)
        g = np.multiply(d, gain, out=result)  # ∂L/∂x̂
        along = np.vecdot(g, x_hat)
        along *= 1.0 / dy.shape[-1]
        np.multiply(x_hat, along[:, None], out=product)
        g -= product
        g *= r_rows[block, None]

    each(blocks(*dy_rows.shape), one, work=dy_rows.size)
    add_in_order(sums, dgain)
    return settle(dx, out)
