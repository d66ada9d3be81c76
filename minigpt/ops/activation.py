"""Activations of the feed-forward layers: ReLU (Transformer), GELU in its tanh form (GPT) and with erf (BERT, BART).

GELU(x) = x Φ(x), with Φ the standard normal's distribution function (Hendrycks & Gimpel 2016). The tanh form
approximates Φ; the two differ by at most 4.7e-4, which matters only when weights are exchanged between models.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from minigpt.backend import Array, array_module
from minigpt.ops._common import deliver
from minigpt.ops.erf import erf

_TANH_SCALE = math.sqrt(2.0 / math.pi)
_TANH_CUBIC = 0.044715


class ReluCache(NamedTuple):
    x: Array


class GeluTanhCache(NamedTuple):
    x: Array
    tanh: Array  # tanh of the inner polynomial


class GeluErfCache(NamedTuple):
    x: Array
    cdf: Array  # Φ(x)


def relu_forward(x: Array, *, out: Array | None = None) -> tuple[Array, ReluCache]:
    """y = max(0, x), any shape."""
    xp = array_module(x)
    return deliver(xp.maximum(x, 0), out), ReluCache(x)


def relu_backward(dy: Array, cache: ReluCache, *, out: Array | None = None) -> Array:
    """dx = dy where x > 0, else 0 (the value at exactly 0 is a convention)."""
    return deliver(dy * (cache.x > 0), out)


def gelu_tanh_forward(x: Array, *, out: Array | None = None) -> tuple[Array, GeluTanhCache]:
    """y = ½ x (1 + tanh u), u = √(2/π) (x + 0.044715 x³), any shape.

    The cube is written as multiplications: a power costs hundreds of times as much.
    """
    xp = array_module(x)
    tanh = xp.tanh(_TANH_SCALE * x * (1.0 + _TANH_CUBIC * (x * x)))
    return deliver(0.5 * x * (1.0 + tanh), out), GeluTanhCache(x, tanh)


def gelu_tanh_backward(dy: Array, cache: GeluTanhCache, *, out: Array | None = None) -> Array:
    """dy/dx = ½ (1 + t) + ½ x (1 − t²) u′, with t = tanh u, tanh′ = 1 − t², u′ = √(2/π) (1 + 3·0.044715 x²)."""
    x, tanh = cache
    inner = _TANH_SCALE * (1.0 + 3.0 * _TANH_CUBIC * (x * x))  # u′
    derivative = 0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * inner
    return deliver(dy * derivative, out)


def gelu_erf_forward(x: Array, *, out: Array | None = None) -> tuple[Array, GeluErfCache]:
    """y = x Φ(x), Φ(x) = ½ (1 + erf(x/√2)), any shape."""
    cdf = 0.5 * (1.0 + erf(x * math.sqrt(0.5)))
    return deliver(x * cdf, out), GeluErfCache(x, cdf)


def gelu_erf_backward(dy: Array, cache: GeluErfCache, *, out: Array | None = None) -> Array:
    """dy/dx = Φ(x) + x φ(x), with φ(x) = Φ′(x) = exp(−x²/2)/√(2π)."""
    x, cdf = cache
    xp = array_module(x)
    density = xp.exp(-0.5 * (x * x)) * (1.0 / math.sqrt(2.0 * math.pi))
    return deliver(dy * (cdf + x * density), out)
