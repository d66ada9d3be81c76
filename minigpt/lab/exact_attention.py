"""How wrong a kernel may be: plain attention in float64, and one that rounds wherever low precision makes it.

A bfloat16 result is wrong by some thousandths whatever computes it. So a kernel is held to the error that plain NumPy
makes when it rounds what any implementation in that precision has to round: probabilities, their gradients, results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigpt import ops
from minigpt.ops.attention import NO_MASK, Mask, _as_heads, _by_group
from minigpt.ops.dropout import DropoutKey, dropout_multiplier

FORWARD_FACTOR, GRADIENT_FACTOR, FLOOR = 2.0, 3.0, 1e-6  # bounds: factor × the plain error + floor


class Attention(NamedTuple):
    """Everything that an attention call gives."""

    y: np.ndarray  # (B, T, H, D)
    dq: np.ndarray  # (B, T, H, D)
    dk: np.ndarray  # (B, S, G, D)
    dv: np.ndarray  # (B, S, G, D)


def round_tf32(x: np.ndarray) -> np.ndarray:
    """float32 with 10 bits of mantissa, to nearest, ties away from zero: what cvt.rna.tf32 does."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def rounding(dtype: Any) -> Callable[[np.ndarray], np.ndarray]:
    """float32 to the nearest number of `dtype` (TF32 for float32), as float32 again."""
    dtype = np.dtype(dtype)
    return round_tf32 if dtype == np.float32 else lambda x: x.astype(dtype).astype(np.float32)


def exact_attention(q: Any, k: Any, v: Any, dy: Any, **settings: Any) -> Attention:
    """The reference: float64."""
    q, k, v, dy = (np.asarray(x, dtype=np.float64) for x in (q, k, v, dy))
    y, cache = ops.attention_forward(q, k, v, **settings)
    return Attention(y, *ops.attention_backward(dy, cache))


def rounded_attention(
    q: Any,
    k: Any,
    v: Any,
    dy: Any,
    *,
    mask: Mask = NO_MASK,
    scale: float | None = None,
    dropout: float = 0.0,
    key: DropoutKey | None = None,
) -> Attention:
    """Plain attention in the precision of q's dtype: float32 sums, everything that is multiplied or stored rounded."""
    low = rounding(q.dtype)
    stored = low if q.dtype.itemsize == 2 else lambda x: x
    (t, d), (s, groups) = (q.shape[1], q.shape[3]), k.shape[1:3]
    scale = np.float32(d**-0.5 if scale is None else scale)
    q, k, v, dy = (np.asarray(x, dtype=np.float32) for x in (q, k, v, dy))
    q_, k_, v_, dy_ = (_by_group(low(x), groups) for x in (q, k, v, dy))
    z = np.matmul(q_, k_.swapaxes(-1, -2)) * scale
    allowed = mask.allowed(np, t, s)
    if allowed is not None:
        z = np.where(allowed, z, np.float32(-np.inf))
    p, _ = ops.softmax_forward(z)
    m = dropout_multiplier(p, dropout, key) if dropout and key is not None else np.float32(1)
    y = stored(np.matmul(low(m * p), v_))
    dv = np.matmul(low(m * p).swapaxes(-1, -2), dy_)
    dp = m * np.matmul(dy_, v_.swapaxes(-1, -2))
    delta = (_by_group(dy, groups) * y).sum(axis=-1, keepdims=True)
    dz = low(p * (dp - delta))
    dq, dk = scale * np.matmul(dz, k_), scale * np.matmul(dz.swapaxes(-1, -2), q_)
    dk, dv = (x.sum(axis=2, keepdims=True) for x in (dk, dv))
    return Attention(*(_as_heads(stored(x)) for x in (y, dq, dk, dv)))


def excess(result: Attention, q: Any, k: Any, v: Any, dy: Any, **settings: Any) -> dict[str, float]:
    """How much of its allowance each result uses: error / (factor × plain error + floor). At most 1 is good.

    Args:
        result: what a kernel gave, as NumPy arrays.
        q, k, v, dy: its inputs, NumPy arrays of the kernel's dtype.
        settings: mask, scale, dropout and key.
    """
    exact, plain = exact_attention(q, k, v, dy, **settings), rounded_attention(q, k, v, dy, **settings)
    used = {}
    for name in Attention._fields:
        factor = FORWARD_FACTOR if name == "y" else GRADIENT_FACTOR
        right = getattr(exact, name)
        allowance = factor * np.abs(getattr(plain, name) - right).max(initial=0.0) + FLOOR
        error = np.abs(np.asarray(getattr(result, name), dtype=np.float64) - right).max(initial=0.0)
        used[name] = float(error / allowance) if error == error else np.inf
    return used
