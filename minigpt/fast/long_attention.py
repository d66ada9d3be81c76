"""Attention for long texts: memory that grows with T, not with T².

The T × S probabilities are never kept. The forward pass leaves one number a query, the log-sum-exp of its scores; with
it the backward pass computes a tile of probabilities again, P = exp(Z − logsumexp(Z)), uses it and forgets it (Rabe &
Staats 2021; Dao et al. 2022). That is one product more than with kept probabilities: Z = s Q Kᵀ, twice.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minigpt.core import workspace
from minigpt.fast._common import ones, settle, target
from minigpt.fast.team import each
from minigpt.fast.tiles import Tiles, by_group, slim_tiles
from minigpt.ops.attention import NO_MASK, Mask
from minigpt.ops.dropout import DropoutKey, dropout_slice


class LongAttentionCache(NamedTuple):
    q: np.ndarray  # (B, G, R, T, D)
    k: np.ndarray  # (B, G, 1, S, D)
    v: np.ndarray  # (B, G, 1, S, D)
    y: np.ndarray  # (B, G, R, T, D), the output
    log_sums: np.ndarray  # log Σ exp Z, (B, G, R, T, 1); +∞ for a query with nothing to look at
    mask: Mask
    scale: float
    dropout: float
    key: DropoutKey | None


class LongAttentionResults(NamedTuple):
    """A `LongAttentionCache` without q, k and v: what only the work of attention itself gives."""

    y: np.ndarray
    log_sums: np.ndarray
    mask: Mask
    scale: float
    dropout: float
    key: DropoutKey | None


class _Head(NamedTuple):
    """One key-value head of one row of the batch, as slices that keep all axes."""

    batch: slice
    group: slice

    def of(self, x: np.ndarray) -> np.ndarray:
        return x[self.batch, self.group]


def _heads(batch: int, groups: int) -> list[_Head]:
    return [_Head(slice(b, b + 1), slice(g, g + 1)) for b in range(batch) for g in range(groups)]


def _multiplier(
    like: np.ndarray, c: LongAttentionCache, key: DropoutKey, head: _Head, rows: slice, columns: slice
) -> np.ndarray:
    """What dropout multiplies a tile of probabilities with: the same draw as for all T × S of them at once."""
    r, t, s = *c.q.shape[2:4], c.k.shape[3]
    parts = [
        dropout_slice(c.dropout, key, head.batch.start, ((h * t) + rows.start) * s, like.shape[-2] * s, like.dtype)
        for h in range(head.group.start * r, head.group.stop * r)
    ]
    whole = np.stack(parts).reshape(1, 1, r, like.shape[-2], s)
    return whole[..., columns]


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
) -> tuple[np.ndarray, LongAttentionCache]:
    """See `minigpt.ops.attention_forward`."""
    (b, t, h, d), s, g = q.shape, k.shape[1], k.shape[2]
    scale = 1.0 / math.sqrt(d) if scale is None else scale
    y = target(out, q.shape, q.dtype)
    log_sums = workspace.empty((b, g, h // g, t, 1), q.dtype)
    cache = LongAttentionCache(
        by_group(q, g), by_group(k, g), by_group(v, g), by_group(y, g), log_sums, mask, scale, dropout, key
    )
    cut = slim_tiles(t, s, mask)

    def head_forward(head: _Head) -> None:
        scratch = _Scratch(cut, h // g, q.dtype)
        for rows, columns in cut:
            e = _scores(_queries(cache, head, rows), cache, cut, head, rows, columns, scratch)
            sums = _exponentials(e, head.of(log_sums)[..., rows, :], may_be_empty=cut.may_be_empty)
            if dropout and key is not None:
                e *= _multiplier(e, cache, key, head, rows, columns)
            result = head.of(cache.y)[..., rows, :]
            np.matmul(e, head.of(cache.v)[..., columns, :], out=result)
            result /= sums

    each(_heads(b, g), head_forward, work=b * h * t * s)
    y = settle(y, out)
    return y, cache._replace(y=by_group(y, g))


class _Scratch:
    """Memory for one tile of a head after the other: the same for all of them, so that it stays in cache."""

    def __init__(self, cut: Tiles, heads: int, dtype: np.dtype):
        self.heads = heads
        self.flat = workspace.empty((heads * cut.height * cut.keys,), dtype)

    def tile(self, rows: slice, columns: slice) -> np.ndarray:
        shape = (1, 1, self.heads, rows.stop - rows.start, columns.stop - columns.start)
        return self.flat[: math.prod(shape)].reshape(shape)


def _queries(c: LongAttentionCache, head: _Head, rows: slice) -> np.ndarray:
    """s Q of one tile."""
    q = head.of(c.q)[..., rows, :]
    return np.multiply(q, c.scale, out=workspace.empty(q.shape, q.dtype))


def _scores(
    q: np.ndarray, c: LongAttentionCache, cut: Tiles, head: _Head, rows: slice, columns: slice, out: _Scratch
) -> np.ndarray:
    """Z = s Q Kᵀ + mask of one tile, of s Q."""
    z = out.tile(rows, columns)
    np.matmul(q, head.of(c.k)[..., columns, :].swapaxes(-1, -2), out=z)
    cut.penalize(z, rows, columns, head.batch)
    return z


def _exponentials(z: np.ndarray, log_sums: np.ndarray, *, may_be_empty: bool) -> np.ndarray:
    """Turn scores into exp(z − row maximum) in place, put log Σ exp z into `log_sums`, and return the rows' sums.

    A query with nothing to look at has the log-sum +∞, so that exp(z − it) is 0, and the sum 1.
    """
    if z.shape[-1] == 0:
        log_sums[...] = math.inf
        return np.ones((*z.shape[:-1], 1), z.dtype)
    largest = z.max(axis=-1, keepdims=True)
    if may_be_empty:
        empty = np.isneginf(largest)
        largest[empty] = 0.0
    z -= largest
    sums = np.matmul(np.exp(z, out=z), ones(z.shape[-1], z.dtype))[..., None]
    if may_be_empty:
        sums[empty] = 1.0
        largest[empty] = math.inf
    np.log(sums, out=log_sums)
    log_sums += largest
    return sums


def attention_backward(
    dy: np.ndarray, cache: LongAttentionCache, *, out: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `minigpt.ops.attention_backward`.

    With P from the log-sum-exp and multipliers m: dV = (m P)ᵀ dO, dZ = P (m dO Vᵀ − dO · O), dQ = s dZ K,
    dK = dZᵀ (s Q).
    """
    (b, g, r, t, d), s = cache.q.shape, cache.k.shape[3]
    shapes = (b, t, g * r, d), (b, s, g, d), (b, s, g, d)
    dq, dk, dv = out if out is not None else (workspace.empty(n, dy.dtype) for n in shapes)
    dqh, dkh, dvh = by_group(dq, g), by_group(dk, g), by_group(dv, g)
    dyh = by_group(dy, g)
    dots = np.vecdot(dyh, cache.y)[..., None]  # Σ_j dP_ij P_ij
    cut = slim_tiles(t, s, cache.mask)

    def head_backward(head: _Head) -> None:
        # both sums over the R query heads and over the tiles
        sums = [workspace.empty((1, 1, r, s, d), dy.dtype) for _ in range(2)]
        for total in sums:
            total[...] = 0.0
        product = workspace.empty((r * s * d,), dy.dtype)
        scratch = [_Scratch(cut, r, dy.dtype) for _ in range(2)]
        for rows, columns in cut:
            q = _queries(cache, head, rows)
            p = _scores(q, cache, cut, head, rows, columns, scratch[0])
            p -= head.of(cache.log_sums)[..., rows, :]
            np.exp(p, out=p)
            m = None
            if cache.dropout and cache.key is not None:
                m = _multiplier(p, cache, cache.key, head, rows, columns)
            weights = p if m is None else m * p
            d_tile, v_tile = head.of(dyh)[..., rows, :], head.of(cache.v)[..., columns, :]
            dz = scratch[1].tile(rows, columns)
            score_gradient(d_tile, v_tile, p, m, head.of(dots)[..., rows, :], out=dz)
            np.matmul(dz, head.of(cache.k)[..., columns, :], out=head.of(dqh)[..., rows, :])
            part = product[: r * p.shape[-1] * d].reshape(1, 1, r, p.shape[-1], d)
            for total, left, right in zip(sums, (dz, weights), (q, d_tile), strict=True):
                total[..., columns, :] += np.matmul(left.swapaxes(-1, -2), right, out=part)
        for total, result in zip(sums, (dkh, dvh), strict=True):
            np.sum(total, axis=2, keepdims=True, out=head.of(result))

    each(_heads(b, g), head_backward, work=b * g * r * t * s)
    dq *= cache.scale
    return dq, dk, dv


def score_gradient(
    dy: np.ndarray, v: np.ndarray, p: np.ndarray, multiplier: np.ndarray | None, dots: np.ndarray, *, out: np.ndarray
) -> None:
    """dZ = P (m dO Vᵀ − dO · O) of one tile, into `out`."""
    np.matmul(dy, v.swapaxes(-1, -2), out=out)
    if multiplier is not None:
        out *= multiplier
    out -= dots
    out *= p
