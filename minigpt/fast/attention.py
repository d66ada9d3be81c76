"""Attention, fast: tiles of queries that never look at what the mask rules out, with the softmax left unnormalised.

The algebra that saves passes over the T × S scores: O = (E V)/l with E = exp(Z), or exp(Z − max) where that is not
safe, and l its row sums, so E is never divided; and in the backward pass Σ_j dA_ij A_ij = dO_i · O_i, a sum over D
numbers instead of S.

The gradients of keys and values are sums over queries. The score gradients of a few heads are kept until all their
tiles are done; then a block of keys takes one product with all queries that see it, and nothing has to be added up.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minigpt.core import workspace
from minigpt.fast import long_attention
from minigpt.fast.long_attention import LongAttentionCache, LongAttentionResults
from minigpt.fast.softmax import NUMPY, Inner
from minigpt.fast.team import each
from minigpt.fast.tiles import TILE_NUMBERS, Tile, by_group, by_keys, factors, tiles, units
from minigpt.ops.attention import NO_MASK, Mask
from minigpt.ops.dropout import DropoutKey

LONG = 512  # keys from which probabilities are no longer kept, unless there are so few queries:
_FEW = 16


class AttentionCache(NamedTuple):
    q: np.ndarray  # (B, G, R, T, D)
    k: np.ndarray  # (B, G, 1, S, D)
    v: np.ndarray  # (B, G, 1, S, D)
    y: np.ndarray  # (B, G, R, T, D), the output
    exponentials: np.ndarray  # E, up to a factor for each row, (B, G, R, T, S); undefined where the tiles' keys end
    inverse_sums: np.ndarray  # 1/l, (B, G, R, T, 1); 0 for a query with nothing to look at
    dropout: np.ndarray | None  # (B, G, R, T, S)
    mask: Mask
    scale: float


def attention_forward(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    mask: Mask = NO_MASK,
    scale: float | None = None,
    dropout: float = 0.0,
    key: DropoutKey | None = None,
    out: np.ndarray | None = None,
    inner: Inner = NUMPY,
) -> tuple[np.ndarray, AttentionCache | LongAttentionCache]:
    """See `minigpt.ops.attention_forward`; `inner` is what is done inside tiles."""
    (b, t, h, d), s, g = q.shape, k.shape[1], k.shape[2]
    if s >= LONG and t > _FEW:
        return long_attention.attention_forward(
            q, k, v, mask=mask, scale=scale, dropout=dropout, key=key, out=out, inner=inner
        )
    scale = 1.0 / math.sqrt(d) if scale is None else scale
    y = workspace.empty(q.shape, q.dtype) if out is None else out
    qh, kh, vh, yh = by_group(q, g), by_group(k, g), by_group(v, g), by_group(y, g)
    e = workspace.empty((b, g, h // g, t, s), q.dtype)
    inverse_sums = workspace.empty((b, g, h // g, t, 1), q.dtype)
    multiplier = inner.dropout_multiplier(e, dropout, key) if dropout and key is not None else None
    cache = AttentionCache(qh, kh, vh, yh, e, inverse_sums, multiplier, mask, scale)
    sees_all = t == 1 <= s and not mask.window and mask.key_padding is None
    if sees_all and multiplier is None and e.size <= TILE_NUMBERS:
        inner.one_query(q, k, v, y, e, inverse_sums, scale)  # nothing to cut, and every token takes one in each layer
        return y, cache
    cut = tiles(t, s, mask)
    each(_unit_forward, units(b, g, h // g, s, cut), cache, cut, inner, work=e.size)
    return y, cache


def _unit_forward(batch: slice, groups: slice, cache: AttentionCache, cut: list[Tile], inner: Inner) -> None:
    """O and what else is kept, of some rows of the batch and some key-value heads, tile by tile."""
    q, k, v, y, _, inverse_sums = (x[batch, groups] for x in cache[:6])
    left, right = factors(q, k, cache.scale)
    for tile in cut:
        rows, columns = tile.rows, tile.columns
        place = batch, groups, slice(None), rows, columns
        inner.exponentials(
            left[..., rows, :], right[..., columns], cache.exponentials, cache.inverse_sums, place, tile, cache.mask
        )
        e, result = cache.exponentials[place], y[..., rows, :]
        weights = e if cache.dropout is None else e * cache.dropout[place]
        np.matmul(weights, v[..., columns, :], out=result)
        result *= inverse_sums[..., rows, :]


def attention_backward(
    dy: np.ndarray,
    cache: AttentionCache | LongAttentionCache,
    *,
    out: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    inner: Inner = NUMPY,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `minigpt.ops.attention_backward`; `inner` is what is done inside tiles.

    With d = dO/l: dV = Eᵀ d (each with dropout's multipliers), s dZ = E (m d (s V)ᵀ − s d · O), dQ = s dZ K and
    dK = s dZᵀ Q.
    """
    if isinstance(cache, LongAttentionCache):
        return long_attention.attention_backward(dy, cache, out=out, inner=inner)
    (b, g, r, t, d), s = cache.q.shape, cache.k.shape[3]
    shapes = (b, t, g * r, d), (b, s, g, d), (b, s, g, d)
    dq, dk, dv = out if out is not None else (workspace.empty(shape, dy.dtype) for shape in shapes)
    dh, dots = inner.row_gradient(dy, cache.y, cache.inverse_sums, cache.scale)
    arrays = by_group(dh, g), by_group(dq, g), by_group(dk, g), by_group(dv, g)
    cut = tiles(t, s, cache.mask)
    each(_unit_backward, units(b, g, r, s, cut), cache, dots, arrays, cut, inner, work=cache.exponentials.size)
    return dq, dk, dv


def _unit_backward(
    batch: slice,
    groups: slice,
    cache: AttentionCache,
    dots: np.ndarray,
    arrays: tuple[np.ndarray, ...],
    cut: list[Tile],
    inner: Inner,
) -> None:
    """Gradients of some rows of the batch and some key-value heads: from d and s d · O, to where dQ, dK, dV go."""
    q, k, v = (x[batch, groups] for x in cache[:3])
    d, dq, dk, dv = (x[batch, groups] for x in arrays)
    scores = (*q.shape[:-1], k.shape[-2])  # (b, g, R, T, S) of these rows and heads
    dz, weights = workspace.empty(scores, q.dtype), cache.exponentials[batch, groups]
    if cache.dropout is not None:
        weights = workspace.empty(scores, q.dtype)
    left, right = factors(d, v, cache.scale)
    for rows, columns, *_ in cut:
        place, here = (batch, groups, slice(None), rows, columns), (..., rows, columns)
        np.matmul(left[..., rows, :], right[..., columns], out=dz[here])
        if cache.dropout is not None:
            dz[here] *= cache.dropout[place]
            np.multiply(cache.exponentials[place], cache.dropout[place], out=weights[here])
        inner.score_gradient(dz, cache.exponentials, dots, place)
        np.matmul(dz[here], k[..., columns, :], out=dq[..., rows, :])
    sums = [dk, dv]
    if q.shape[2] > 1:  # query heads of one key-value head, whose parts are added up in the end
        sums = [workspace.empty((*x.shape[:2], q.shape[2], *x.shape[3:]), x.dtype) for x in sums]
    for rows, columns in by_keys(cut, k.shape[-2]):
        for total, a, b in zip(sums, (dz, weights), (q, d), strict=True):
            np.matmul(a[..., rows, columns].swapaxes(-1, -2), b[..., rows, :], out=total[..., columns, :])
    if q.shape[2] > 1:
        np.sum(sums[0], axis=2, keepdims=True, out=dk)
        np.sum(sums[1], axis=2, keepdims=True, out=dv)


def attention_results(cache: AttentionCache | LongAttentionCache) -> AttentionCache | LongAttentionResults:
    """See `minigpt.ops.attention_results`: of long attention, the output and the log-sum-exps, not q, k and v."""
    return LongAttentionResults(*cache[3:]) if isinstance(cache, LongAttentionCache) else cache


def attention_cache(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, results: AttentionCache | LongAttentionResults
) -> AttentionCache | LongAttentionCache:
    """See `minigpt.ops.attention_cache`."""
    if not isinstance(results, LongAttentionResults):  # of a short text, or of 16 bits, whose cache is kept whole
        return results
    groups = k.shape[2]
    return LongAttentionCache(by_group(q, groups), by_group(k, groups), by_group(v, groups), *results)
