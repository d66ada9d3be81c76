"""LayerNorm and RMSNorm as loops: row by row, all of a row's sums in one look at it."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from minigpt.fast import norm
from minigpt.fast.loops.compiled import compiled


@compiled
def _normalize(
    x: np.ndarray,
    y: np.ndarray,
    normalized: np.ndarray,
    inverse: np.ndarray,
    gain: np.ndarray,
    bias: np.ndarray | None,
    eps: float,
    centred: bool,
) -> None:
    """Of some rows (n, C): x̂ = (x − μ)/√(mean (x − μ)² + ε) and y = x̂ g + b, with μ = mean x if centred, else 0."""
    real, width = x.dtype.type, x.shape[1]
    for i in range(x.shape[0]):
        mean = real(0)
        if centred:
            for j in range(width):
                mean += x[i, j]
            mean /= real(width)
        square = real(0)
        for j in range(width):
            square += (x[i, j] - mean) * (x[i, j] - mean)
        scale = real(1) / math.sqrt(square / real(width) + real(eps))
        inverse[i, 0] = scale
        for j in range(width):
            x_hat = (x[i, j] - mean) * scale
            normalized[i, j] = x_hat
            y[i, j] = x_hat * gain[j]
            if bias is not None:
                y[i, j] += bias[j]


@compiled
def normalize_gradient(
    dy: np.ndarray,
    normalized: np.ndarray,
    inverse: np.ndarray,
    dx: np.ndarray,
    gain: np.ndarray,
    centred: bool,
    biased: bool,
    plus: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """With h = dy g: dx = (h − x̂ mean(h x̂) − mean h)/√…, without mean h if means were not taken off; `plus` is added.

    Returns:
        these rows' part of the gradients of gain, Σ dy x̂, and bias, Σ dy.
    """
    real, width = dy.dtype.type, dy.shape[1]
    dgain, dbias = np.zeros(width, dy.dtype), np.zeros(width, dy.dtype)
    for i in range(dy.shape[0]):
        mean, along = real(0), real(0)
        for j in range(width):
            d, x_hat = dy[i, j], normalized[i, j]
            dgain[j] += d * x_hat
            dbias[j] += d
            mean += d * gain[j]
            along += d * gain[j] * x_hat
        mean = mean / real(width) if centred else real(0)
        along /= real(width)
        for j in range(width):
            h = (dy[i, j] * gain[j] - normalized[i, j] * along - mean) * inverse[i, 0]
            dx[i, j] = h if plus is None else plus[i, j] + h
    return dgain, dbias


PAIRS: dict[str, Any] = {
    "layernorm_forward": partial(norm.layernorm_forward, loop=_normalize),
    "layernorm_backward": partial(norm.layernorm_backward, loop=normalize_gradient),
    "rmsnorm_forward": partial(norm.rmsnorm_forward, loop=_normalize),
    "rmsnorm_backward": partial(norm.rmsnorm_backward, loop=normalize_gradient),
}
