"""Multi-head scaled dot-product attention (Vaswani et al. 2017): softmax(Q Kᵀ/√D) V, for self- and cross-attention.

This is the reference: it holds all T × S probabilities and is written to be read. Every faster version is tested
against it. Grouped key-value heads (Ainslie et al. 2023) are the general case: G key-value heads serve H query heads,
each of them H/G consecutive ones; G = H is ordinary multi-head attention.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import NamedTuple

from minigpt.core.backend import Array, array_module
from minigpt.ops._common import Out, deliver
from minigpt.ops.dropout import DropoutKey, dropout_multiplier
from minigpt.ops.softmax import SoftmaxCache, softmax_backward, softmax_forward


class Mask(NamedTuple):
    """Which keys a query may look at. All conditions must hold.

    Query t of T stands at position i = t + S − T of the S keys (so that T < S with a cache lines up at the end).
    """

    causal: bool = False  # j ≤ i
    window: int = 0  # |i − j| < window; 0 is no limit (GPT-3's locally banded layers, together with causal)
    key_padding: Array | None = None  # (B, S) bool, True where the key is a real token

    def allowed(self, xp: ModuleType, queries: int, keys: int) -> Array | None:
        """Return a boolean array that broadcasts to (B, G, R, T, S), or None when everything is allowed."""
        allowed = None
        if self.causal or self.window:
            distance = xp.arange(queries)[:, None] + (keys - queries) - xp.arange(keys)  # i − j, (T, S)
            allowed = distance >= 0 if self.causal else distance > -self.window
            if self.window:
                allowed &= distance < self.window
        if self.key_padding is not None:
            padding = self.key_padding.astype(bool)[:, None, None, None, :]  # (B, 1, 1, 1, S)
            allowed = padding if allowed is None else allowed & padding
        return allowed


NO_MASK = Mask()


class AttentionCache(NamedTuple):
    q: Array  # (B, T, H, D)
    k: Array  # (B, S, G, D)
    v: Array  # (B, S, G, D)
    probabilities: Array  # (B, G, R, T, S), R = H/G query heads to each key-value head
    dropout: Array | None  # what the probabilities were multiplied with, or None
    scale: float


def _by_group(x: Array, groups: int) -> Array:
    """View (B, T, H, D) as (B, G, R, T, D): R = H/G heads in each of G groups."""
    b, t, h, d = x.shape
    return x.reshape(b, t, groups, h // groups, d).transpose(0, 2, 3, 1, 4)


def _as_heads(x: Array) -> Array:
    """Undo `_by_group`: (B, G, R, T, D) to (B, T, H, D)."""
    b, g, r, t, d = x.shape
    return x.transpose(0, 3, 1, 2, 4).reshape(b, t, g * r, d)


def attention_forward(
    q: Array,
    k: Array,
    v: Array,
    *,
    mask: Mask = NO_MASK,
    scale: float | None = None,
    dropout: float = 0.0,
    key: DropoutKey | None = None,
    out: Out = None,
) -> tuple[Array, AttentionCache]:
    """O = A V with A = dropout(softmax(s Q Kᵀ + mask)), for every head of every row of the batch.

    Args:
        q: (B, T, H, D) queries.
        k, v: (B, S, G, D) keys and values; G divides H. Self-attention has S = T.
        mask: where a query may look; a query with nowhere to look gets zeros.
        scale: s, by default 1/√D.
        dropout, key: the probability that an entry of A is dropped, and the draw's name (None in evaluation).
    Returns:
        O (B, T, H, D) and the cache for `attention_backward`.
    """
    xp = array_module(q, k, v, mask.key_padding)
    t, d, s, groups = q.shape[1], q.shape[3], k.shape[1], k.shape[2]
    scale = 1.0 / math.sqrt(d) if scale is None else scale
    q_heads, k_heads, v_heads = _by_group(q, groups), _by_group(k, groups), _by_group(v, groups)

    scores = xp.matmul(q_heads, k_heads.swapaxes(-1, -2))  # (B,G,R,T,D) @ (B,G,1,D,S) -> (B,G,R,T,S)
    scores *= scale
    allowed = mask.allowed(xp, t, s)
    if allowed is not None:
        scores = xp.where(allowed, scores, xp.asarray(-math.inf, dtype=scores.dtype))
    probabilities, _ = softmax_forward(scores)
    multiplier = None
    weights = probabilities
    if dropout and key is not None:
        multiplier = dropout_multiplier(probabilities, dropout, key)
        weights = probabilities * multiplier
    y = _as_heads(xp.matmul(weights, v_heads))  # (B,G,R,T,S) @ (B,G,1,S,D) -> (B,T,H,D)
    return deliver(y, out), AttentionCache(q, k, v, probabilities, multiplier, scale)


def attention_backward(
    dy: Array, cache: AttentionCache, *, out: tuple[Array, Array, Array] | None = None
) -> tuple[Array, Array, Array]:
    """Gradients of O = A V, A = m P (dropout), P = softmax(s Q Kᵀ).

    Line by line, backwards:
        O = A V          →  dA = dO Vᵀ,   dV = Aᵀ dO
        A = m P          →  dP = m dA
        P = softmax(Z)   →  dZ = P (dP − rowsum(dP P)); a masked entry has P = 0, so it receives nothing
        Z = s Q Kᵀ       →  dQ = s dZ K,  dK = s dZᵀ Q.
    A key-value head that serves R query heads receives the sum of their R gradients.

    Args:
        dy: dO, (B, T, H, D).
        out: where to put dq, dk and dv, for instance views of one fused gradient.
    Returns:
        dq (B, T, H, D), dk and dv (B, S, G, D).
    """
    q, k, v, probabilities, multiplier, scale = cache
    xp = array_module(dy, q)
    groups = k.shape[2]
    q_heads, k_heads, v_heads = _by_group(q, groups), _by_group(k, groups), _by_group(v, groups)
    dy_heads = _by_group(dy, groups)  # (B, G, R, T, D)

    weights = probabilities if multiplier is None else probabilities * multiplier
    dv = xp.matmul(weights.swapaxes(-1, -2), dy_heads)  # O = A V: (…,S,T) @ (…,T,D) -> (B,G,R,S,D)
    dprobabilities = xp.matmul(dy_heads, v_heads.swapaxes(-1, -2))  # O = A V: -> (B,G,R,T,S)
    if multiplier is not None:
        dprobabilities *= multiplier  # A = m P
    dscores = softmax_backward(dprobabilities, SoftmaxCache(probabilities))  # P = softmax(Z)
    dscores *= scale  # Z = s Q Kᵀ
    dq = xp.matmul(dscores, k_heads)  # Z = Q Kᵀ: (…,T,S) @ (…,S,D) -> (B,G,R,T,D)
    dk = xp.matmul(dscores.swapaxes(-1, -2), q_heads)  # Z = Q Kᵀ: (…,S,T) @ (…,T,D) -> (B,G,R,S,D)

    dk, dv = (x.sum(axis=2, keepdims=True) for x in (dk, dv))  # one key-value head served R query heads
    dq_out, dk_out, dv_out = (None, None, None) if out is None else out
    return deliver(_as_heads(dq), dq_out), deliver(_as_heads(dk), dk_out), deliver(_as_heads(dv), dv_out)


def attention_results(cache: AttentionCache) -> AttentionCache:
    """What of a cache is worth keeping until `attention_cache` makes the cache again: here all of it.

    Where q, k and v are most of the cache, an implementation may leave them out.
    """
    return cache


def attention_cache(q: Array, k: Array, v: Array, results: AttentionCache) -> AttentionCache:
    """The cache that `attention_forward` gave for the same q, k and v, of its `attention_results`."""
    return results
