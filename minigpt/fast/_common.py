"""What the fast operations share: where results go, and how many rows are worked on at a time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minigpt.core import workspace
from minigpt.fast.team import size

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


def blocks(count: int, width: int) -> list[slice]:
    """Cut `count` rows of `width` numbers into slices that fit the cache, at least one for each of a team."""
    step = max(1, min(_BLOCK // max(1, width), -(-count // size())))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


@lru_cache(maxsize=64)
def ones(length: int, dtype: np.dtype) -> np.ndarray:
    """A read-only vector of ones: x @ ones is a row sum at the speed of BLAS, ones @ x a column sum."""
    x = np.ones(length, dtype)
    x.flags.writeable = False
    return x


def column_sums(x: np.ndarray) -> np.ndarray:
    """Σ_n x_n for x (N, C)."""
    return ones(len(x), x.dtype) @ x


def add_in_order(sums: dict[int, tuple[np.ndarray | None, ...]], *totals: np.ndarray | None) -> None:
    """Add every block's sums to the totals, first block first, whichever thread was done first."""
    for start in sorted(sums):
        for total, part in zip(totals, sums[start], strict=True):
            if total is not None:
                total += part
