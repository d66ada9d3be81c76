"""A few rows times a matrix as loops: what a linear layer is while a text is written.

The speed of memory is all that counts there. A processor reads ahead to the end of a page, 4 kB, and is through with it
before the next one comes from memory. So four quarters of a matrix are read side by side, each as it lies, which gives
four pages at a time. BLAS takes four rows that follow one another, and at their end, where the next four begin
elsewhere, it waits.
"""

from __future__ import annotations

import numpy as np

from minigpt.fast.loops.compiled import inlined


@inlined
def summed_rows(x: np.ndarray, weight: np.ndarray, y: np.ndarray, first: int, last: int) -> None:
    """y = Σᵢ xᵢ Wᵢ over the rows first ≤ i < last of W (I, O)."""
    for j in range(weight.shape[1]):
        y[j] = 0
    q = (last - first) // 4
    for i in range(first, first + q):
        a, b, c, d = x[i], x[i + q], x[i + 2 * q], x[i + 3 * q]
        for j in range(weight.shape[1]):
            y[j] += a * weight[i, j] + b * weight[i + q, j] + c * weight[i + 2 * q, j] + d * weight[i + 3 * q, j]
    for i in range(first + 4 * q, last):
        for j in range(weight.shape[1]):
            y[j] += x[i] * weight[i, j]


@inlined
def dot_products(x: np.ndarray, matrix: np.ndarray, scale: np.ndarray, y: np.ndarray, first: int, last: int) -> None:
    """y_no = s_o Σᵢ x_ni M_oi for rows x (N, I) and the outputs first ≤ o < last of a matrix (O, I) of floats or bytes.

    Args:
        scale: (O,), or empty where s = 1.
    """
    q = (last - first) // 4
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for o in range(first, first + q):
        for n in range(x.shape[0]):
            s, t, u, v = zero, zero, zero, zero
            for i in range(matrix.shape[1]):
                s += x[n, i] * matrix[o, i]
                t += x[n, i] * matrix[o + q, i]
                u += x[n, i] * matrix[o + 2 * q, i]
                v += x[n, i] * matrix[o + 3 * q, i]
            y[n, o] = s * (scale[o] if scale.size else one)
            y[n, o + q] = t * (scale[o + q] if scale.size else one)
            y[n, o + 2 * q] = u * (scale[o + 2 * q] if scale.size else one)
            y[n, o + 3 * q] = v * (scale[o + 3 * q] if scale.size else one)
    for o in range(first + 4 * q, last):
        for n in range(x.shape[0]):
            s = zero
            for i in range(matrix.shape[1]):
                s += x[n, i] * matrix[o, i]
            y[n, o] = s * (scale[o] if scale.size else one)
