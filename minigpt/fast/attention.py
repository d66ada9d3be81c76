"""Attention, fast: tiles of queries that never look at what the mask rules out, with the softmax left unnormalised.

The algebra that saves passes over the T × S scores: O = (E V)/l with E = exp(Z), or exp(Z − max) where that is not
safe, and l its row sums, so E is never divided; and in the backward pass Σ_j dA_ij A_ij = dO_i · O_i, a sum over D
numbers instead of S.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minigpt.core import workspace
from minigpt.fast import long_attention
from minigpt.fast._common import ones, settle, target
from minigpt.fast.long_attention import LongAttentionCache, LongAttentionResults, score_gradient
from minigpt.fast.team import each
from minigpt.fast.tiles import Tiles, by_group, tiles
from minigpt.ops.attention import NO_MASK, Mask
from minigpt.ops.dropout import DropoutKey, dropout_multiplier

LONG = 512  # keys from which probabilities are no longer kept, unless there are so few queries:
_FEW = 16
_LARGEST = 27.0  # e^27 is 5e11: squares of such sums, and gradients divided by them, are still far inside float32


class AttentionCache(NamedTuple):
    q: np.ndarray  # (B, G, R, T, D), times the scale
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
) -> tuple[np.ndarray, AttentionCache | LongAttentionCache]:
    """See `minigpt.ops.attention_forward`."""
    (b, t, h, d), s, g = q.shape, k.shape[1], k.shape[2]
    if s >= LONG and t > _FEW:
        return long_attention.attention_forward(q, k, v, mask=mask, scale=scale, dropout=dropout, key=key, out=out)
    scale = 1.0 / math.sqrt(d) if scale is None else scale
    scaled = np.multiply(q, scale, out=workspace.empty(q.shape, q.dtype))
    qh, kh, vh = by_group(scaled, g), by_group(k, g), by_group(v, g)
    y = target(out, q.shape, q.dtype)
    yh = by_group(y, g)
    shape = (b, g, h // g, t, s)
    exponentials = workspace.empty(shape, q.dtype)
    inverse_sums = workspace.empty((*shape[:-1], 1), q.dtype)
    multiplier = dropout_multiplier(exponentials, dropout, key) if dropout and key is not None else None
    cut = tiles(t, s, mask)

    def unit_forward(unit: tuple[slice, slice]) -> None:
        for rows, columns in cut:
            e, inverse = exponentials[unit][:, :, :, rows, columns], inverse_sums[unit][:, :, :, rows]
            q_tile, k_tile = qh[unit][:, :, :, rows], kh[unit][:, :, :, columns]
            _scores_exponentials(q_tile, k_tile, e, inverse, cut, (rows, columns), unit[0])
            result = yh[unit][:, :, :, rows]
            weights = e if multiplier is None else e * multiplier[unit][:, :, :, rows, columns]
            np.matmul(weights, vh[unit][:, :, :, columns], out=result)
            result *= inverse

    each(cut.units(b, g, h // g), unit_forward, work=exponentials.size)
    y = settle(y, out)
    yh = by_group(y, g)
    return y, AttentionCache(qh, kh, vh, yh, exponentials, inverse_sums, multiplier, mask, scale)


def _scores_exponentials(
    q: np.ndarray,
    k: np.ndarray,
    e: np.ndarray,
    inverse: np.ndarray,
    cut: Tiles,
    tile: tuple[slice, slice],
    batch: slice,
) -> None:
    """E of one tile into `e`, up to a factor for each row, and one over its row sums into `inverse`."""
    for exponentiate in (_exponentials, _shifted_exponentials):
        np.matmul(q, k.swapaxes(-1, -2), out=e)
        cut.penalize(e, *tile, batch)
        if exponentiate(e, inverse, may_be_empty=cut.may_be_empty):
            return


def _exponentials(scores: np.ndarray, inverse: np.ndarray, *, may_be_empty: bool) -> bool:
    """Turn scores into exp(score) in place, and put one over the row sums into `inverse`, if that is safe.

    Rows' maxima are taken off so that exp does not overflow, and cost more than exp itself: NumPy's maximum of a short
    row is slow (see fast/README). Where no score is as large as _LARGEST, and no row's are all below its negative,
    nothing overflows or underflows without them either, to the same precision. (A tile decides as a whole, so a row's
    last bits can depend on the rows beside it.)

    Returns:
        False if it is not safe: then the scores are lost.
    """
    if may_be_empty or scores.shape[-1] == 0 or scores.itemsize < 4:  # 16 bits end long before _LARGEST
        return _shifted_exponentials(scores, inverse, may_be_empty=may_be_empty)
    if not scores.max() < _LARGEST:
        return _shifted_exponentials(scores, inverse, may_be_empty=False)
    np.exp(scores, out=scores)
    sums = inverse[..., 0]
    np.matmul(scores, ones(scores.shape[-1], scores.dtype), out=sums)
    if not sums.min() > math.exp(-_LARGEST):
        return False
    np.reciprocal(sums, out=sums)
    return True


def _shifted_exponentials(scores: np.ndarray, inverse: np.ndarray, *, may_be_empty: bool) -> bool:
    """Turn scores into exp(score − row maximum) in place, and put one over the row sums into `inverse`."""
    if scores.shape[-1] == 0:
        inverse[...] = 0.0
        return True
    largest = scores.max(axis=-1, keepdims=True)
    if may_be_empty:
        largest[np.isneginf(largest)] = 0.0
    scores -= largest
    np.exp(scores, out=scores)
    np.matmul(scores, ones(scores.shape[-1], scores.dtype), out=inverse[..., 0])
    if may_be_empty:
        empty = inverse == 0.0
        inverse[empty] = 1.0
    np.reciprocal(inverse, out=inverse)
    if may_be_empty:
        inverse[empty] = 0.0
    return True


def attention_backward(
    dy: np.ndarray,
    cache: AttentionCache | LongAttentionCache,
    *,
    out: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `minigpt.ops.attention_backward`.

    With d = dO/l: dV = Eᵀ d (each with dropout's multipliers), dZ = E (m d Vᵀ − d · O), dQ = s dZ K, dK = dZᵀ (s Q).
    """
    if isinstance(cache, LongAttentionCache):
        return long_attention.attention_backward(dy, cache, out=out)
    qh, kh, vh, yh, exponentials, inverse_sums, multiplier, mask, scale = cache
    (b, g, r, t, _), s = qh.shape, kh.shape[3]
    scaled = workspace.empty(dy.shape, dy.dtype)
    dh = by_group(scaled, g)
    np.multiply(by_group(dy, g), inverse_sums, out=dh)
    dots = np.vecdot(dh, yh)[..., None]  # Σ_j dA_ij A_ij / l_i
    dq, dk, dv = out if out is not None else (workspace.empty(n, dy.dtype) for n in _result_shapes(qh, kh))
    dqh, dkh, dvh = by_group(dq, g), by_group(dk, g), by_group(dv, g)
    cut = tiles(t, s, mask)

    def unit_backward(unit: tuple[slice, slice]) -> None:
        dk_parts, dv_parts = _parts(dkh[unit], r, dy.dtype), _parts(dvh[unit], r, dy.dtype)
        # Without a window the last queries may see every key: their part is written, what comes after is added to it.
        write = not mask.window
        if not write:
            dk_parts[...] = dv_parts[...] = 0.0
        for rows, columns in reversed(list(cut)):
            e, d_tile = exponentials[unit][:, :, :, rows, columns], dh[unit][:, :, :, rows]
            m = None if multiplier is None else multiplier[unit][:, :, :, rows, columns]
            weights = e if m is None else e * m
            dz, v_tile = workspace.empty(e.shape, e.dtype), vh[unit][:, :, :, columns]
            score_gradient(d_tile, v_tile, e, m, dots[unit][:, :, :, rows], out=dz)
            np.matmul(dz, kh[unit][:, :, :, columns], out=dqh[unit][:, :, :, rows])
            _add_product(dz, qh[unit][:, :, :, rows], dk_parts, columns, write)  # dK = dZᵀ (s Q)
            _add_product(weights, d_tile, dv_parts, columns, write)  # dV = Eᵀ d
            write = False
        if r > 1:
            np.sum(dk_parts, axis=2, keepdims=True, out=dkh[unit])
            np.sum(dv_parts, axis=2, keepdims=True, out=dvh[unit])

    each(cut.units(b, g, r), unit_backward, work=exponentials.size)
    dq *= scale
    return dq, dk, dv


def _parts(total: np.ndarray, heads: int, dtype: np.dtype) -> np.ndarray:
    """Where the parts of a gradient (B, G, 1, S, D) go, which a key-value head's query heads add up to; one is all."""
    if heads == 1:
        return total
    return workspace.empty((*total.shape[:2], heads, *total.shape[3:]), dtype)


def _add_product(left: np.ndarray, right: np.ndarray, total: np.ndarray, columns: slice, write: bool) -> None:
    """total += leftᵀ right at some columns, or total = leftᵀ right."""
    if write:
        np.matmul(left.swapaxes(-1, -2), right, out=total)
    else:
        total[..., columns, :] += left.swapaxes(-1, -2) @ right


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


def _result_shapes(qh: np.ndarray, kh: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """The shapes of dq, dk and dv."""
    (b, g, r, t, d), s = qh.shape, kh.shape[3]
    return (b, t, g * r, d), (b, s, g, d), (b, s, g, d)
