"""Small things that operations and blocks share: sums, results in `out=`, leading axes folded into rows."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from minigpt.core.backend import Array, array_module

Out: TypeAlias = Array | None  # where a result is put; None: into a new array
LOW = ("bfloat16", "float16")  # numbers of 16 bits, which are summed in float32


def deliver(y: Array, out: Out) -> Array:
    """Return `y`, or copy it into `out` and return that."""
    if out is None:
        return y
    out[...] = y
    return out


def add(x: Array, y: Array) -> Array:
    """x + y, the residual connection; its backward pass hands the gradient to both."""
    return x + y


def empty(shape: tuple[int, ...], like: Array) -> Array:
    """An uninitialised array of `like`'s kind and dtype, for results that are written in parts."""
    return array_module(like).empty(shape, like.dtype)


def rows(x: Array) -> Array:
    """View (…, C) as a matrix (N, C), one row per position."""
    return x.reshape(-1, x.shape[-1])


def is_low(x: Any) -> bool:
    return getattr(getattr(x, "dtype", None), "name", None) in LOW


def raised(x: Any) -> Any:
    """A 16-bit array as float32; anything else as it is."""
    return x.astype(np.float32) if is_low(x) else x


def product(a: Array, b: Array) -> Array:
    """a @ b for two matrices; of 16-bit numbers with sums in float32.

    On a GPU the tensor cores do just that and round the result to 16 bits. NumPy, which would sum in 16 bits, gets
    float32 copies to multiply, and the result is float32.
    """
    if a.ndim != 2 or b.ndim != 2:  # CuPy 14.2 multiplies more than two axes of bfloat16 as if they were integers
        raise ValueError(f"a product of matrices, not of arrays of {a.ndim} and {b.ndim} axes")
    xp = array_module(a, b)
    return np.matmul(raised(a), raised(b)) if xp is np else xp.matmul(a, b)


def add_product(total: Array, a: Array, b: Array, first: bool) -> None:
    """total (I, O) += aᵀ b of a (N, I) and b (N, O); with `first` it holds nothing yet and is overwritten.

    A transposed total, a tied weight's, gets the product that lies in memory as it does: no addition jumps.
    """
    if not total.flags.c_contiguous and total.T.flags.c_contiguous:
        total, a, b = total.T, b, a
    value = product(a.T, b)
    if first:
        total[...] = value
    else:
        total += value
