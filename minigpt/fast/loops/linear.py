"""Linear layers of a few rows, as loops that one thread or several run."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minigpt.fast import linear
from minigpt.fast.loops.hands import hands

_WIDEST = 8192  # outputs whose sums stay in the first-level cache
_LEAST = 1 << 17  # numbers of a matrix that are worth a second thread


def row_product(x: np.ndarray, weight: np.ndarray, y: np.ndarray, threads: int) -> bool:
    """y (O,) = x W for a row x (I,) and W (I, O), which lies as it is or transposed; whether that was done."""
    if not weight.flags.c_contiguous:
        return few_rows(x[None], weight.T, np.empty(0, x.dtype), y[None], threads)
    if len(y) > _WIDEST or not _lie_plain(x, weight, y):
        return False
    hands(threads if weight.size >= _LEAST else 1).sum(x, weight, y)
    return True


def few_rows(x: np.ndarray, matrix: np.ndarray, scale: np.ndarray, y: np.ndarray, threads: int) -> bool:
    """See `dot_products`: all of its outputs; whether they were made."""
    numbers = (x, scale, y) if matrix.dtype == np.int8 else (x, scale, y, matrix)
    if not (matrix.flags.c_contiguous and _lie_plain(*numbers)):
        return False
    hands(threads if matrix.size >= _LEAST else 1).dots(x, matrix, scale, y)
    return True


def _lie_plain(*arrays: np.ndarray) -> bool:
    """Whether arrays lie in memory as the loops, which get addresses only, take them to lie."""
    return all(x.dtype == np.float32 and x.flags.c_contiguous for x in arrays)


FORWARD: dict[str, Any] = {"linear_forward": partial(linear.linear_forward, loop=row_product, int8_loop=few_rows)}
