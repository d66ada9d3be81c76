"""Linear layers, fast: results in reused memory, and no second copy of a large weight's gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigpt.core import workspace
from minigpt.fast._common import ones
from minigpt.fast.int8 import Int8Matrix, int8_product
from minigpt.fast.team import product
from minigpt.ops.linear import LinearCache

_GRADIENT_BLOCK = 1 << 22  # numbers of a weight's gradient that are computed and then added at a time


def linear_forward(
    x: np.ndarray,
    weight: np.ndarray | Int8Matrix,
    bias: np.ndarray | None = None,
    *,
    out: np.ndarray | None = None,
    loop: Callable[..., bool] | None = None,
    int8_loop: Callable[..., bool] | None = None,
) -> tuple[np.ndarray, LinearCache]:
    """See `minigpt.ops.linear_forward`; `loop` makes the product of one row, `int8_loop` that of a few rows and
    bytes. There is no backward pass for bytes.
    """
    y = workspace.empty((*x.shape[:-1], weight.shape[1]), x.dtype) if out is None else out
    if isinstance(weight, Int8Matrix):
        int8_product(x.reshape(-1, x.shape[-1]), weight, y.reshape(-1, y.shape[-1]), int8_loop)
        y += 0 if bias is None else bias
        return y, LinearCache(x, weight)  # type: ignore[arg-type]
    return product(x, weight, out=y, bias=bias, row=loop), LinearCache(x, weight)


def linear_backward(
    dy: np.ndarray,
    cache: LinearCache,
    dweight: np.ndarray,
    dbias: np.ndarray | None = None,
    *,
    first: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """See `minigpt.ops.linear_backward`."""
    x, weight = cache
    x_rows, dy_rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    if dweight.flags.c_contiguous:
        _add_product(x_rows, dy_rows, dweight, first)  # dW += xᵀ dy
    else:
        _add_product(dy_rows, x_rows, dweight.T, first)  # a tied weight, seen transposed: dWᵀ += dyᵀ x
    if dbias is not None:
        dbias += ones(len(dy_rows), dy.dtype) @ dy_rows
    return product(dy, weight.T, out=workspace.empty(x.shape, dy.dtype) if out is None else out)


def _add_product(a: np.ndarray, b: np.ndarray, total: np.ndarray, first: bool) -> None:
    """total += aᵀ b (or, the first time, total = aᵀ b), (N, I) and (N, O): NumPy has no matrix product that adds.

    BLAS works best on many rows at once, so only a result too large to hold twice, a vocabulary's embedding, is made
    in parts.
    """
    if first and total.flags.c_contiguous:
        product(a.T, b, out=total)
        return
    if first:
        total[...] = 0.0
    step = max(1, _GRADIENT_BLOCK // total.shape[1])
    scratch = workspace.empty((min(step, len(total)), total.shape[1]), total.dtype)
    for start in range(0, len(total), step):
        part = total[start : start + step]
        part += product(a.T[start : start + step], b, out=scratch[: len(part)])
