"""One row times a matrix as a loop: what a linear layer is while a text is written."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minigpt.fast import linear
from minigpt.fast.loops.compiled import compiled


@compiled
def row_product(x: np.ndarray, weight: np.ndarray, y: np.ndarray) -> None:
    """y = Σᵢ xᵢ Wᵢ, reading the rows of W in the order in which they lie: the speed of memory is all that counts here.

    BLAS reads four rows side by side, whose ends stop the processor from reading ahead.
    """
    y[:] = 0
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            y[j] += x[i] * weight[i, j]


FORWARD: dict[str, Any] = {"linear_forward": partial(linear.linear_forward, loop=row_product)}
