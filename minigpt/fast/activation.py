"""Activations, fast: block by block, with the derivative computed on the way forward, while everything is in cache."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minigpt.core import workspace
from minigpt.fast._common import blocks, rows, settle, target
from minigpt.fast.team import each
from minigpt.ops.erf import erf

_SCALE = math.sqrt(2.0 / math.pi)
_CUBIC = 0.044715


class DerivativeCache(NamedTuple):
    derivative: np.ndarray  # dy/dx, any shape


class SwigluCache(NamedTuple):
    derivative: np.ndarray  # dy/da beside dy/db, (…, 2F)


def _scratch(like: np.ndarray) -> np.ndarray:
    return workspace.empty(like.shape, like.dtype)


def gelu_tanh_forward(x: np.ndarray, *, out: np.ndarray | None = None) -> tuple[np.ndarray, DerivativeCache]:
    """See `minigpt.ops.gelu_tanh_forward`.

    With h = ½ (1 + tanh u): y = x h and dy/dx = h + 2 y (1 − h) u′, since h′ = 2 h (1 − h) u′. Eleven multiplications
    and additions and one tanh for each number, both ways together.
    """
    y = target(out, x.shape, x.dtype)
    derivative = workspace.empty(x.shape, x.dtype)
    x_rows, y_rows, d_rows = rows(x), rows(y), rows(derivative)

    def one(block: slice) -> None:
        value, result, slope = x_rows[block], y_rows[block], d_rows[block]
        h = workspace.empty(value.shape, x.dtype)
        np.multiply(value, value, out=slope)
        np.multiply(slope, _SCALE * _CUBIC, out=h)
        h += _SCALE
        h *= value  # u
        np.tanh(h, out=h)
        h *= 0.5
        h += 0.5
        np.multiply(value, h, out=result)
        slope *= 6.0 * _SCALE * _CUBIC
        slope += 2.0 * _SCALE  # 2 u′
        slope *= result
        slope -= np.multiply(slope, h, out=_scratch(h))
        slope += h

    each(blocks(*x_rows.shape), one, work=x_rows.size)
    return settle(y, out), DerivativeCache(derivative)


def gelu_tanh_backward(dy: np.ndarray, cache: DerivativeCache, *, out: np.ndarray | None = None) -> np.ndarray:
    """dx = dy · (dy/dx of the forward pass)."""
    dx = target(out, dy.shape, dy.dtype)
    dy_rows, dx_rows, d_rows = rows(dy), rows(dx), rows(cache.derivative)

    def one(block: slice) -> None:
        np.multiply(dy_rows[block], d_rows[block], out=dx_rows[block])

    each(blocks(*dy_rows.shape), one, work=dy.size)
    return settle(dx, out)


# 1 − Φ(z) = exp(−z²/2) (c₁ t + … + c₆ t⁶) with t = 1/(1 + p z), for z ≥ 0: least squares with weights moved towards
# the largest error, which is 5e-9, a twelfth of float32's rounding.
_P = 0.275
_TAIL = (-0.11486257808957648, 0.452016018900786, -0.3310214135210267, 0.3339547914648553, 0.04210251598459849,
         0.11781066981786957)  # fmt: skip


def _normal_distribution(x: np.ndarray, density: np.ndarray, out: np.ndarray) -> None:
    """Φ(x) into `out`, given exp(−x²/2)."""
    if x.dtype != np.float32:
        np.add(0.5, 0.5 * erf(x * math.sqrt(0.5)), out=out)
        return
    t = _scratch(x)
    np.abs(x, out=t)
    t *= _P
    t += 1.0
    np.reciprocal(t, out=t)
    np.multiply(t, _TAIL[0], out=out)
    for c in _TAIL[1:]:
        out += c
        out *= t
    out *= density  # 1 − Φ(|x|)
    np.subtract(0.5, out, out=out)
    np.copysign(out, x, out=out)  # Φ(x) − ½ is odd
    out += 0.5


def gelu_erf_forward(x: np.ndarray, *, out: np.ndarray | None = None) -> tuple[np.ndarray, DerivativeCache]:
    """See `minigpt.ops.gelu_erf_forward`. One exponential serves Φ and its derivative."""
    y = target(out, x.shape, x.dtype)
    derivative = workspace.empty(x.shape, x.dtype)
    x_rows, y_rows, d_rows = rows(x), rows(y), rows(derivative)

    def one(block: slice) -> None:
        value, result, slope = x_rows[block], y_rows[block], d_rows[block]
        np.multiply(value, value, out=slope)
        slope *= -0.5
        np.exp(slope, out=slope)
        cdf = _scratch(slope)
        _normal_distribution(value, slope, cdf)
        slope *= value
        slope *= 1.0 / math.sqrt(2.0 * math.pi)
        slope += cdf
        np.multiply(value, cdf, out=result)

    each(blocks(*x_rows.shape), one, work=x_rows.size)
    return settle(y, out), DerivativeCache(derivative)


gelu_erf_backward = gelu_tanh_backward  # both kept dy/dx


def _silu(x: np.ndarray, y: np.ndarray, slope: np.ndarray) -> None:
    """SiLU(x) into y and its derivative, σ + y (1 − σ), into `slope`."""
    sigmoid = _scratch(x)
    np.multiply(x, 0.5, out=sigmoid)
    np.tanh(sigmoid, out=sigmoid)
    sigmoid *= 0.5
    sigmoid += 0.5
    np.multiply(x, sigmoid, out=y)
    np.subtract(1.0, sigmoid, out=slope)
    slope *= y
    slope += sigmoid


def silu_forward(x: np.ndarray, *, out: np.ndarray | None = None) -> tuple[np.ndarray, DerivativeCache]:
    """See `minigpt.ops.silu_forward`."""
    y = target(out, x.shape, x.dtype)
    derivative = workspace.empty(x.shape, x.dtype)
    x_rows, y_rows, d_rows = rows(x), rows(y), rows(derivative)

    def one(block: slice) -> None:
        _silu(x_rows[block], y_rows[block], d_rows[block])

    each(blocks(*x_rows.shape), one, work=x_rows.size)
    return settle(y, out), DerivativeCache(derivative)


silu_backward = gelu_tanh_backward


def swiglu_forward(x: np.ndarray, *, out: np.ndarray | None = None) -> tuple[np.ndarray, SwigluCache]:
    """See `minigpt.ops.swiglu_forward`. With s = SiLU(a): dy/da = b s′ and dy/db = s are kept instead of x."""
    if x.shape[-1] % 2:
        raise ValueError(f"SwiGLU takes an even number of features, not {x.shape[-1]}")
    width = x.shape[-1] // 2
    y = target(out, (*x.shape[:-1], width), x.dtype)
    derivative = workspace.empty(x.shape, x.dtype)
    x_rows, y_rows, d_rows = rows(x), rows(y), rows(derivative)

    def one(block: slice) -> None:
        up, by_gate, by_up = x_rows[block, width:], d_rows[block, :width], d_rows[block, width:]
        _silu(x_rows[block, :width], by_up, by_gate)
        np.multiply(by_up, up, out=y_rows[block])
        by_gate *= up

    each(blocks(*x_rows.shape), one, work=x_rows.size)
    return settle(y, out), SwigluCache(derivative)


def swiglu_backward(dy: np.ndarray, cache: SwigluCache, *, out: np.ndarray | None = None) -> np.ndarray:
    """See `minigpt.ops.swiglu_backward`."""
    derivative = cache.derivative
    dx = target(out, derivative.shape, dy.dtype)
    width = dy.shape[-1]
    for part in (slice(0, width), slice(width, 2 * width)):
        np.multiply(dy, derivative[..., part], out=dx[..., part])
    return settle(dx, out)
