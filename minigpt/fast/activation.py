"""Activations, fast: block by block, with the derivative computed on the way forward, while everything is in cache."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minigpt.core import workspace
from minigpt.fast._common import by_rows
from minigpt.ops.erf import erf

_SCALE = math.sqrt(2.0 / math.pi)
_CUBIC = 0.044715
Loop = Callable[[np.ndarray, np.ndarray, np.ndarray], None]  # what computes y and a derivative of some rows x


class DerivativeCache(NamedTuple):
    derivative: np.ndarray  # dy/dx, any shape


class SwigluCache(NamedTuple):
    derivative: np.ndarray  # dy/da beside dy/db, (…, 2F)


def gelu_tanh_forward(
    x: np.ndarray, *, out: np.ndarray | None = None, loop: Loop | None = None
) -> tuple[np.ndarray, DerivativeCache]:
    """See `minigpt.ops.gelu_tanh_forward`; `loop` takes the place of `_gelu_tanh`."""
    y = workspace.empty(x.shape, x.dtype) if out is None else out
    derivative = workspace.empty(x.shape, x.dtype)
    by_rows(loop or _gelu_tanh, (x,), (y, derivative))
    return y, DerivativeCache(derivative)


def _gelu_tanh(x: np.ndarray, y: np.ndarray, slope: np.ndarray) -> None:
    """With h = ½ (1 + tanh u): y = x h and dy/dx = h + 2 y (1 − h) u′, since h′ = 2 h (1 − h) u′.

    Eleven multiplications and additions and one tanh for each number, both ways together.
    """
    h = workspace.empty(x.shape, x.dtype)
    np.multiply(x, x, out=slope)
    np.multiply(slope, _SCALE * _CUBIC, out=h)
    h += _SCALE
    h *= x  # u
    np.tanh(h, out=h)
    h *= 0.5
    h += 0.5
    np.multiply(x, h, out=y)
    slope *= 6.0 * _SCALE * _CUBIC
    slope += 2.0 * _SCALE  # 2 u′
    slope *= y
    slope -= np.multiply(slope, h, out=workspace.empty(x.shape, x.dtype))
    slope += h


def gelu_tanh_backward(dy: np.ndarray, cache: DerivativeCache, *, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy · (dy/dx of the forward pass)."""
    dx = workspace.empty(dy.shape, dy.dtype) if out is None else out
    by_rows(np.multiply, (dy, cache.derivative), (dx,))
    return dx


def gelu_erf_forward(
    x: np.ndarray, *, out: np.ndarray | None = None, loop: Loop | None = None
) -> tuple[np.ndarray, DerivativeCache]:
    """See `minigpt.ops.gelu_erf_forward`; `loop` takes the place of `_gelu_erf`."""
    y = workspace.empty(x.shape, x.dtype) if out is None else out
    derivative = workspace.empty(x.shape, x.dtype)
    by_rows(loop or _gelu_erf, (x,), (y, derivative))
    return y, DerivativeCache(derivative)


gelu_erf_backward = gelu_tanh_backward  # both kept dy/dx


def _gelu_erf(x: np.ndarray, y: np.ndarray, slope: np.ndarray) -> None:
    """x Φ(x) into y and its derivative into `slope`. One exponential serves Φ and its derivative."""
    np.multiply(x, x, out=slope)
    slope *= -0.5
    np.exp(slope, out=slope)
    cdf = workspace.empty(x.shape, x.dtype)
    _normal_distribution(x, slope, cdf)
    slope *= x
    slope *= 1.0 / math.sqrt(2.0 * math.pi)
    slope += cdf
    np.multiply(x, cdf, out=y)


# 1 − Φ(z) = exp(−z²/2) (c₁ t + … + c₆ t⁶) with t = 1/(1 + p z), for z ≥ 0: least squares with weights moved towards
# the largest error, which is 5e-9, a twelfth of float32's rounding.
P = 0.275
TAIL = (-0.11486257808957648, 0.452016018900786, -0.3310214135210267, 0.3339547914648553, 0.04210251598459849,
         0.11781066981786957)  # fmt: skip


def _normal_distribution(x: np.ndarray, density: np.ndarray, out: np.ndarray) -> None:
    """Φ(x) into `out`, given exp(−x²/2)."""
    if x.dtype != np.float32:
        np.add(0.5, 0.5 * erf(x * math.sqrt(0.5)), out=out)
        return
    t = np.abs(x, out=workspace.empty(x.shape, x.dtype))
    t *= P
    t += 1.0
    np.reciprocal(t, out=t)
    np.multiply(t, TAIL[0], out=out)
    for c in TAIL[1:]:
        out += c
        out *= t
    out *= density  # 1 − Φ(|x|)
    np.subtract(0.5, out, out=out)
    np.copysign(out, x, out=out)  # Φ(x) − ½ is odd
    out += 0.5


def silu_forward(
    x: np.ndarray, *, out: np.ndarray | None = None, loop: Loop | None = None
) -> tuple[np.ndarray, DerivativeCache]:
    """See `minigpt.ops.silu_forward`; `loop` takes the place of `_silu`."""
    y = workspace.empty(x.shape, x.dtype) if out is None else out
    derivative = workspace.empty(x.shape, x.dtype)
    by_rows(loop or _silu, (x,), (y, derivative))
    return y, DerivativeCache(derivative)


silu_backward = gelu_tanh_backward


def _silu(x: np.ndarray, y: np.ndarray, slope: np.ndarray) -> None:
    """SiLU(x) into y and its derivative, σ + y (1 − σ), into `slope`."""
    sigmoid = np.multiply(x, 0.5, out=workspace.empty(x.shape, x.dtype))
    np.tanh(sigmoid, out=sigmoid)
    sigmoid *= 0.5
    sigmoid += 0.5
    np.multiply(x, sigmoid, out=y)
    np.subtract(1.0, sigmoid, out=slope)
    slope *= y
    slope += sigmoid


def swiglu_forward(
    x: np.ndarray, *, out: np.ndarray | None = None, loop: Loop | None = None
) -> tuple[np.ndarray, SwigluCache]:
    """See `minigpt.ops.swiglu_forward`; `loop` takes the place of `_swiglu`."""
    if x.shape[-1] % 2:
        raise ValueError(f"SwiGLU takes an even number of features, not {x.shape[-1]}")
    y = workspace.empty((*x.shape[:-1], x.shape[-1] // 2), x.dtype) if out is None else out
    derivative = workspace.empty(x.shape, x.dtype)
    by_rows(loop or _swiglu, (x,), (y, derivative))
    return y, SwigluCache(derivative)


def _swiglu(x: np.ndarray, y: np.ndarray, derivative: np.ndarray) -> None:
    """With s = SiLU(a): y = s b; dy/da = b s′ and dy/db = s are kept instead of x."""
    width = y.shape[-1]
    up, by_gate, by_up = x[:, width:], derivative[:, :width], derivative[:, width:]
    _silu(x[:, :width], by_up, by_gate)
    np.multiply(by_up, up, out=y)
    by_gate *= up


def swiglu_backward(dy: np.ndarray, cache: SwigluCache, *, out: np.ndarray | None = None) -> np.ndarray:
    """See `minigpt.ops.swiglu_backward`."""
    derivative, width = cache.derivative, dy.shape[-1]
    dx = workspace.empty(derivative.shape, dy.dtype) if out is None else out
    np.multiply(dy, derivative[..., :width], out=dx[..., :width])
    np.multiply(dy, derivative[..., width:], out=dx[..., width:])
    return dx
