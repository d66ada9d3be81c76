"""What the fast operations share: rows in blocks that fit the cache, and sums at the speed of BLAS."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

import numpy as np

from minigpt.core import workspace
from minigpt.fast.team import TEAM, each

BLOCK = 96 * 1024  # numbers: a block and its scratch stay in a core's second-level cache
_T = TypeVar("_T")


def add(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """See `minigpt.ops.add`."""
    return np.add(x, y, out=workspace.empty(x.shape, x.dtype))


def empty(shape: tuple[int, ...], like: np.ndarray) -> np.ndarray:
    """See `minigpt.ops.empty`."""
    return workspace.empty(shape, like.dtype)


def by_rows(
    function: Callable[..., _T], inputs: tuple[np.ndarray, ...], outputs: tuple[np.ndarray, ...], *same: object
) -> list[_T]:
    """Call function(*inputs, *outputs, *same) on one block of rows after the other, and return what it returns.

    Args:
        inputs, outputs: (…, C), each with a C of its own; the function gets them as (n, C), contiguous.
        same: what every block is given whole.
    """
    if inputs[0].size == inputs[0].shape[-1] and all(x.flags.c_contiguous for x in (*inputs, *outputs)):
        rows = [x.reshape(1, -1) for x in (*inputs, *outputs)]  # one: what a layer does for a token that is written
        return [function(*rows, *same)]
    written = [y if y.flags.c_contiguous else workspace.empty(y.shape, y.dtype) for y in outputs]
    matrices = [np.ascontiguousarray(x).reshape(-1, x.shape[-1]) for x in (*inputs, *written)]
    count, width = matrices[0].shape
    step = max(1, min(BLOCK // max(1, width), -(-count // TEAM.get().size)))  # a block at least for each of a team
    blocks = [[x[start : start + step] for x in matrices] for start in range(0, count, step)]
    results = each(function, blocks, *same, work=count * width)
    for y, made in zip(outputs, written, strict=True):
        if made is not y:
            y[...] = made
    return results


@lru_cache(maxsize=64)
def ones(length: int, dtype: np.dtype) -> np.ndarray:
    """A read-only vector of ones: x @ ones is a row sum at the speed of BLAS, ones @ x a column sum."""
    x = np.ones(length, dtype)
    x.flags.writeable = False
    return x
