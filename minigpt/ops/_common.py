"""Small things that operations and blocks share: sums, results in `out=`, leading axes folded into rows."""

from __future__ import annotations

from minigpt.core.backend import Array, array_module


def deliver(y: Array, out: Array | None) -> Array:
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
