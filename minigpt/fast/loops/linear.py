"""One row times a matrix as a loop: what a linear layer is while a text is written."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minigpt.fast import linear
from minigpt.fast.loops.compiled import compiled


@compiled
def row_product(x: np.ndarray, weight: np.ndarray, y: np.ndarray) -> None:
    """y = Σᵢ xᵢ Wᵢ, where the speed of memory is all that counts.

    Four quarters of W are read side by side, each row after row as it lies. A processor reads ahead to the end of a
    page, 4 kB, and is through with it before the next one comes from memory; so it is given four pages at a time. BLAS
    takes four rows that follow one another, and at their end, where the next four begin elsewhere, it waits.
    """
    y[:] = 0
    q = weight.shape[0] // 4
    for i in range(q):
        a, b, c, d = x[i], x[i + q], x[i + 2 * q], x[i + 3 * q]
        for j in range(weight.shape[1]):
            y[j] += a * weight[i, j] + b * weight[i + q, j] + c * weight[i + 2 * q, j] + d * weight[i + 3 * q, j]
    for i in range(4 * q, weight.shape[0]):
        for j in range(weight.shape[1]):
            y[j] += x[i] * weight[i, j]


@compiled
def int8_rows(x: np.ndarray, values: np.ndarray, scale: np.ndarray, y: np.ndarray) -> None:
    """y_no = s_o Σᵢ x_ni q_oi for a few rows x (N, I) and bytes q (O, I).

    Four outputs are made side by side, each of another quarter of the matrix (see `row_product`).
    """
    quarter = values.shape[0] // 4
    for o in range(quarter):
        a, b, c, d = values[o], values[o + quarter], values[o + 2 * quarter], values[o + 3 * quarter]
        for n in range(x.shape[0]):
            row = x[n]
            s = t = u = v = x.dtype.type(0)
            for i in range(values.shape[1]):
                s += row[i] * a[i]
                t += row[i] * b[i]
                u += row[i] * c[i]
                v += row[i] * d[i]
            y[n, o] = s * scale[o]
            y[n, o + quarter] = t * scale[o + quarter]
            y[n, o + 2 * quarter] = u * scale[o + 2 * quarter]
            y[n, o + 3 * quarter] = v * scale[o + 3 * quarter]
    for o in range(4 * quarter, values.shape[0]):
        for n in range(x.shape[0]):
            s = x.dtype.type(0)
            for i in range(values.shape[1]):
                s += x[n, i] * values[o, i]
            y[n, o] = s * scale[o]


FORWARD: dict[str, Any] = {"linear_forward": partial(linear.linear_forward, loop=row_product, int8_loop=int8_rows)}
