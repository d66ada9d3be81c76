"""AdamW as a loop: one look at a parameter, its gradient and its moments."""

from __future__ import annotations

import math

import numpy as np

from minigpt.fast.loops.compiled import compiled


@compiled
def adamw(
    p: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    decayed: int,
    beta1: float,
    beta2: float,
    rate: float,
    eps: float,
    keep: float,
    scale: float,
) -> None:
    """m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², p ← keep p − rate m/(√v + ε), in place, with g times `scale`.

    `keep` is for the first `decayed` parameters only.
    """
    real = p.dtype.type
    scale, b1, b2, c1, c2 = real(scale), real(beta1), real(beta2), real(1.0 - beta1), real(1.0 - beta2)
    rate, eps, keep, one = real(rate), real(eps), real(keep), real(1)
    for i in range(p.size):
        d = g[i] * scale
        m[i] = b1 * m[i] + c1 * d
        v[i] = b2 * v[i] + c2 * d * d
        p[i] = (keep if i < decayed else one) * p[i] - rate * m[i] / (math.sqrt(v[i]) + eps)
