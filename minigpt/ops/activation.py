"""Activations: ReLU (Transformer), GELU by tanh (GPT) and by erf (BERT, BART), SiLU and SwiGLU (Llama), tanh.

GELU(x) = x Φ(x), with Φ the standard normal's distribution function (Hendrycks & Gimpel 2016). The tanh form
approximates Φ; the two differ by at most 4.7e-4, which matters only when weights are exchanged between models.
SiLU(x) = x σ(x) has the logistic function in Φ's place. SwiGLU (Shazeer 2020) lets it open and close a second, linear
path: it takes twice as many numbers as it gives. tanh is BERT's pooler.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from minigpt.core.backend import Array, array_module
from minigpt.ops._common import Out, deliver
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


class SiluCache(NamedTuple):
    x: Array
    sigmoid: Array  # σ(x)


class SwigluCache(NamedTuple):
    gate: Array  # (…, F)
    up: Array  # (…, F)
    sigmoid: Array  # σ(gate), (…, F)


class TanhCache(NamedTuple):
    y: Array


def relu_forward(x: Array, *, out: Out = None) -> tuple[Array, ReluCache]:
    """y = max(0, x), any shape."""
    xp = array_module(x)
    return deliver(xp.maximum(x, 0), out), ReluCache(x)


def relu_backward(dy: Array, cache: ReluCache, *, out: Out = None) -> Array:
    """dx = dy where x > 0, else 0 (the value at exactly 0 is a convention)."""
    return deliver(dy * (cache.x > 0), out)


def gelu_tanh_forward(x: Array, *, out: Out = None) -> tuple[Array, GeluTanhCache]:
    """y = ½ x (1 + tanh u), u = √(2/π) (x + 0.044715 x³), any shape.

    The cube is written as multiplications: a power costs hundreds of times as much.
    """
    xp = array_module(x)
    tanh = xp.tanh(_TANH_SCALE * x * (1.0 + _TANH_CUBIC * (x * x)))
    return deliver(0.5 * x * (1.0 + tanh), out), GeluTanhCache(x, tanh)


def gelu_tanh_backward(dy: Array, cache: GeluTanhCache, *, out: Out = None) -> Array:
    """dy/dx = ½ (1 + t) + ½ x (1 − t²) u′, with t = tanh u, tanh′ = 1 − t², u′ = √(2/π) (1 + 3·0.044715 x²)."""
    x, tanh = cache
    inner = _TANH_SCALE * (1.0 + 3.0 * _TANH_CUBIC * (x * x))  # u′
    derivative = 0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * inner
    return deliver(dy * derivative, out)


def gelu_erf_forward(x: Array, *, out: Out = None) -> tuple[Array, GeluErfCache]:
    """y = x Φ(x), Φ(x) = ½ (1 + erf(x/√2)), any shape."""
    cdf = 0.5 * (1.0 + erf(x * math.sqrt(0.5)))
    return deliver(x * cdf, out), GeluErfCache(x, cdf)


def gelu_erf_backward(dy: Array, cache: GeluErfCache, *, out: Out = None) -> Array:
    """dy/dx = Φ(x) + x φ(x), with φ(x) = Φ′(x) = exp(−x²/2)/√(2π)."""
    x, cdf = cache
    xp = array_module(x)
    density = xp.exp(-0.5 * (x * x)) * (1.0 / math.sqrt(2.0 * math.pi))
    return deliver(dy * (cdf + x * density), out)


def _sigmoid(x: Array) -> Array:
    """σ(x) = 1/(1 + exp(−x)) = ½ (1 + tanh(x/2)), which cannot overflow."""
    return 0.5 * (1.0 + array_module(x).tanh(0.5 * x))


def silu_forward(x: Array, *, out: Out = None) -> tuple[Array, SiluCache]:
    """y = x σ(x), any shape."""
    sigmoid = _sigmoid(x)
    return deliver(x * sigmoid, out), SiluCache(x, sigmoid)


def silu_backward(dy: Array, cache: SiluCache, *, out: Out = None) -> Array:
    """dy/dx = σ + x σ (1 − σ), since σ′ = σ (1 − σ)."""
    x, sigmoid = cache
    return deliver(dy * (sigmoid * (1.0 + x * (1.0 - sigmoid))), out)


def swiglu_forward(x: Array, *, out: Out = None) -> tuple[Array, SwigluCache]:
    """y = SiLU(a) b, where x = [a | b]: the gate and what passes through it, from one fused projection.

    Args:
        x: (…, 2F).
    Returns:
        y (…, F) and the cache for `swiglu_backward`.
    """
    gate, up = _halves(x)
    sigmoid = _sigmoid(gate)
    return deliver(gate * sigmoid * up, out), SwigluCache(gate, up, sigmoid)


def swiglu_backward(dy: Array, cache: SwigluCache, *, out: Out = None) -> Array:
    """da = dy b SiLU′(a) and db = dy SiLU(a), side by side: (…, F) to (…, 2F)."""
    gate, up, sigmoid = cache
    xp = array_module(dy, gate)
    dgate = dy * up * (sigmoid * (1.0 + gate * (1.0 - sigmoid)))
    dup = dy * (gate * sigmoid)
    return deliver(xp.concatenate([dgate, dup], axis=-1), out)


def _halves(x: Array) -> tuple[Array, Array]:
    """View (…, 2F) as two arrays (…, F)."""
    if x.shape[-1] % 2:
        raise ValueError(f"SwiGLU takes an even number of features, not {x.shape[-1]}")
    return x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]


def tanh_forward(x: Array, *, out: Out = None) -> tuple[Array, TanhCache]:
    """y = tanh x, any shape."""
    y = deliver(array_module(x).tanh(x), out)
    return y, TanhCache(y)


def tanh_backward(dy: Array, cache: TanhCache, *, out: Out = None) -> Array:
    """dy/dx = 1 − tanh² x = 1 − y²."""
    return deliver(dy * (1.0 - cache.y * cache.y), out)
