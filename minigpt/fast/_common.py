"""What the fast operations share: where results go, and how many rows are worked on at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from minigpt import workspace

_BLOCK = 96 * 1024  # numbers: a block and its scratch stay in a core's second-level cache


def add(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """See `minigpt.ops.add`."""
    return np.add(x, y, out=workspace.empty(x.shape, x.dtype))


def empty(shape: tuple[int, ...], like: np.ndarray) -> np.ndarray:
    """See `minigpt.ops.empty`."""
    return workspace.empty(shape, like.dtype)


def target(out: np.ndarray | None, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """`out` if the result can be written there directly, else a workspace array (see `settle`)."""
    return out if out is not None and out.flags.c_contiguous else workspace.empty(shape, dtype)


def settle(y: np.ndarray, out: np.ndarray | None) -> np.ndarray:
    """Return y, copied into `out` where it is not there already."""
    if out is None or out is y:
        return y
    out[...] = y
    return out


def rows(x: np.ndarray) -> np.ndarray:
    """View (…, C) as (N, C); a copy only if x is not contiguous."""
    return x.reshape(-1, x.shape[-1])


def blocks(count: int, width: int) -> Iterator[slice]:
    """Cut `count` rows of `width` numbers into slices that fit the cache."""
    step = max(1, _BLOCK // max(1, width))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


@lru_cache(maxsize=64)
def ones(length: int, dtype: np.dtype) -> np.ndarray:
    """A read-only vector of ones: x @ ones is a row sum at the speed of BLAS, ones @ x a column sum."""
    x = np.ones(length, dtype)
    x.flags.writeable = False
    return x


def add_column_sums(x: np.ndarray, total: np.ndarray) -> None:
    """total += Σ_n x_n for x (N, C)."""
    total += ones(len(x), x.dtype) @ x
