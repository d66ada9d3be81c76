"""Normalisation of every position over its features, so that sizes stay the same however deep the network.

LayerNorm (Ba, Kiros & Hinton 2016) brings them to mean 0 and variance 1; RMSNorm (Zhang & Sennrich 2019), which Llama
uses, only divides by their root mean square.
"""

from __future__ import annotations

from typing import NamedTuple

from minigpt.core.backend import Array, array_module
from minigpt.ops._common import Out, deliver, rows


class LayerNormCache(NamedTuple):
    normalized: Array  # x̂, (…, C)
    inverse_std: Array  # 1/σ, (…, 1)
    gain: Array  # γ, (C,)


class RMSNormCache(NamedTuple):
    normalized: Array  # x̂, (…, C)
    inverse_rms: Array  # 1/r, (…, 1)
    gain: Array  # γ, (C,)


def layernorm_forward(
    x: Array, gain: Array, bias: Array | None = None, *, eps: float = 1e-5, out: Out = None
) -> tuple[Array, LayerNormCache]:
    """y = γ x̂ + β with x̂ = (x − μ)/σ, μ = mean(x), σ² = mean((x − μ)²) + ε, over the last axis.

    The variance is taken from the centred values: mean(x²) − μ² would cancel catastrophically when |μ| ≫ σ.

    Args:
        x: (…, C).
        gain: γ, (C,).
        bias: β, (C,), or None.
    Returns:
        y (…, C) and the cache for `layernorm_backward`.
    """
    xp = array_module(x, gain, bias)
    centred = x - x.mean(axis=-1, keepdims=True)  # (…, C)
    variance = (centred * centred).mean(axis=-1, keepdims=True)  # (…, 1)
    inverse_std = 1.0 / xp.sqrt(variance + eps)  # (…, 1)
    normalized = centred * inverse_std  # (…, C)
    y = normalized * gain
    if bias is not None:
        y += bias
    return deliver(y, out), LayerNormCache(normalized, inverse_std, gain)


def layernorm_backward(
    dy: Array, cache: LayerNormCache, dgain: Array, dbias: Array | None = None, *, out: Out = None
) -> Array:
    """Gradients of y = γ x̂ + β.

    With g = dy γ = ∂L/∂x̂ and, for one position of C features, ∂x̂_j/∂x_i = (δ_ij − 1/C − x̂_i x̂_j / C)/σ
    (the three terms: x itself, its share of μ, its share of σ):
        dx = (g − mean(g) − x̂ mean(g x̂)) / σ,     dγ = Σ_n dy x̂,     dβ = Σ_n dy.

    Args:
        dy: (…, C).
        dgain, dbias: (C,), added to; dbias may be None.
    Returns:
        dx (…, C).
    """
    normalized, inverse_std, gain = cache
    dgain += rows(dy * normalized).sum(axis=0)  # y = γ x̂: (N, C) -> (C,)
    if dbias is not None:
        dbias += rows(dy).sum(axis=0)  # y += β: (N, C) -> (C,)
    g = dy * gain  # y = γ x̂: (…, C)
    dx = g - g.mean(axis=-1, keepdims=True)  # x̂ = (x − μ)/σ, through x and μ
    dx -= normalized * (g * normalized).mean(axis=-1, keepdims=True)  # … and through σ
    dx *= inverse_std
    return deliver(dx, out)


def rmsnorm_forward(x: Array, gain: Array, *, eps: float = 1e-6, out: Out = None) -> tuple[Array, RMSNormCache]:
    """y = γ x̂ with x̂ = x/r, r² = mean(x²) + ε, over the last axis: no mean is subtracted, no bias added.

    Args:
        x: (…, C).
        gain: γ, (C,).
    Returns:
        y (…, C) and the cache for `rmsnorm_backward`.
    """
    xp = array_module(x, gain)
    inverse_rms = 1.0 / xp.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)  # (…, 1)
    normalized = x * inverse_rms  # (…, C)
    return deliver(normalized * gain, out), RMSNormCache(normalized, inverse_rms, gain)


def rmsnorm_backward(dy: Array, cache: RMSNormCache, dgain: Array, *, out: Out = None) -> Array:
    """Gradients of y = γ x̂.

    With g = dy γ = ∂L/∂x̂ and ∂x̂_j/∂x_i = (δ_ij − x̂_i x̂_j / C)/r (x itself, and its share of r):
        dx = (g − x̂ mean(g x̂)) / r,     dγ = Σ_n dy x̂.

    Args:
        dy: (…, C).
        dgain: (C,), added to.
    Returns:
        dx (…, C).
    """
    normalized, inverse_rms, gain = cache
    dgain += rows(dy * normalized).sum(axis=0)  # y = γ x̂: (N, C) -> (C,)
    dx = dy * gain  # y = γ x̂: g, (…, C)
    dx -= normalized * (dx * normalized).mean(axis=-1, keepdims=True)  # x̂ = x/r, through r
    dx *= inverse_rms  # … and through x
    return deliver(dx, out)
