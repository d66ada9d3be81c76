"""Two small things that every operation shares: delivering a result into `out=`, and folding leading axes into rows."""

from __future__ import annotations

from minigpt.backend import Array


def deliver(y: Array, out: Array | None) -> Array:
    """Return `y`, or copy it into `out` and return that."""
    if out is None:
        return y
    out[...] = y
    return out


def rows(x: Array) -> Array:
    """View (…, C) as a matrix (N, C), one row per position."""
    return x.reshape(-1, x.shape[-1])
