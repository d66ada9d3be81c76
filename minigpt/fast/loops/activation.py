"""Activations as loops: y = f(x) and the derivative, number by number."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from minigpt.fast import activation
from minigpt.fast.loops.compiled import compiled
from minigpt.fast.loops.functions import exp, normal_distribution

_SCALE = math.sqrt(2.0 / math.pi)
_CUBIC = 0.044715


@compiled
def _sigmoid(x: float) -> tuple[float, float]:
    """σ(x) = 1/(1 + e^(−x)) and σ′(x) = e^(−|x|)/(1 + e^(−|x|))², with no ∞ on the way and no 1 − σ that cancels."""
    one = type(x)(1)
    e = exp(-abs(x))
    inverse = one / (one + e)
    return inverse if x >= 0 else e * inverse, e * inverse * inverse


@compiled
def gelu_tanh(x: np.ndarray, y: np.ndarray, slope: np.ndarray, bias: np.ndarray | None = None) -> None:
    """y = x h with h = ½ (1 + tanh u) = σ(2u), u = √(2/π) (x + 0.044715 x³); dy/dx = h + x h′ with h′ = 2 σ′(2u) u′.

    A bias is added to x first.
    """
    real = x.dtype.type
    one, two, three, scale, cubic = real(1), real(2), real(3), real(_SCALE), real(_CUBIC)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            a = x[i, j] if bias is None else x[i, j] + bias[j]
            square = cubic * a * a
            h, rise = _sigmoid(two * scale * a * (one + square))
            y[i, j] = a * h
            slope[i, j] = h + two * a * rise * scale * (one + three * square)


@compiled
def gelu_erf(x: np.ndarray, y: np.ndarray, slope: np.ndarray, bias: np.ndarray | None = None) -> None:
    """y = x Φ(x); dy/dx = Φ(x) + x φ(x), φ(x) = e^(−x²/2)/√(2π). A bias is added to x first."""
    real = x.dtype.type
    half, root = real(0.5), real(1.0 / math.sqrt(2.0 * math.pi))
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            a = x[i, j] if bias is None else x[i, j] + bias[j]
            density = exp(-half * a * a)
            cdf = normal_distribution(a, density)
            y[i, j] = a * cdf
            slope[i, j] = cdf + a * density * root


@compiled
def _silu(x: np.ndarray, y: np.ndarray, slope: np.ndarray) -> None:
    """y = x σ(x); dy/dx = σ(x) + x σ′(x)."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            sigmoid, rise = _sigmoid(x[i, j])
            y[i, j] = x[i, j] * sigmoid
            slope[i, j] = sigmoid + x[i, j] * rise


@compiled
def _swiglu(x: np.ndarray, y: np.ndarray, derivative: np.ndarray) -> None:
    """x = [a | b], y = SiLU(a) b; dy/da = b SiLU′(a) beside dy/db = SiLU(a)."""
    width = y.shape[1]
    for i in range(x.shape[0]):
        a, b, by_a, by_b = x[i, :width], x[i, width:], derivative[i, :width], derivative[i, width:]
        for j in range(width):
            sigmoid, rise = _sigmoid(a[j])
            y[i, j] = a[j] * sigmoid * b[j]
            by_a[j] = b[j] * (sigmoid + a[j] * rise)
            by_b[j] = a[j] * sigmoid


FORWARD: dict[str, Any] = {
    "gelu_tanh_forward": partial(activation.gelu_tanh_forward, loop=gelu_tanh),
    "gelu_erf_forward": partial(activation.gelu_erf_forward, loop=gelu_erf),
    "silu_forward": partial(activation.silu_forward, loop=_silu),
    "swiglu_forward": partial(activation.swiglu_forward, loop=_swiglu),
}
