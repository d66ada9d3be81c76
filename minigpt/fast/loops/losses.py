"""Softmax cross-entropy as loops: three looks at a row of logits, the gradient in the last."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from minigpt.fast import losses
from minigpt.fast.loops.compiled import compiled
from minigpt.fast.loops.functions import exp, largest


@compiled
def _costs(
    z: np.ndarray,
    y: np.ndarray,
    valid: np.ndarray,
    counted: np.ndarray,
    g: np.ndarray,
    factor: float,
    epsilon: float,
    share: float,
) -> float:
    """The sum of some rows' costs log Σ e^z − Σ q z, and the gradient of factor times that, softmax(z) − q, into g.

    See `minigpt.fast.losses`; q is 1 − ε at the target and `share` off it.
    """
    real, classes, total = z.dtype.type, z.shape[1], 0.0
    on, off = real(1.0 - epsilon - share), real(share)  # q at the target is on + off
    for i in range(z.shape[0]):
        top, target = largest(z[i]), y[i, 0]
        sum_e, sum_z = real(0), real(0)
        for j in range(classes):
            e = exp(z[i, j] - top)
            g[i, j] = e
            sum_e += e
        if epsilon:
            for j in range(classes):
                sum_z += z[i, j] - top
        if valid[i, 0]:
            cost = math.log(sum_e) - on * (z[i, target] - top) - off * sum_z
            total += np.float64(cost * counted[i, 0])
        weight = counted[i, 0] * real(factor)
        scale, less = weight / sum_e, weight * off
        for j in range(classes):
            g[i, j] = g[i, j] * scale - less
        g[i, target] -= weight * on
    return total


FORWARD: dict[str, Any] = {"cross_entropy_forward": partial(losses.cross_entropy_forward, loop=_costs)}
