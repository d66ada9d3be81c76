"""Attention for long texts: memory that grows with T, not with T².

The T × S probabilities are never kept. The forward pass leaves one number a query, the log-sum-exp of its scores; with
it the backward pass computes a tile of probabilities again, P = exp(Z − logsumexp(Z)), uses it and forgets it (Rabe &
Staats 2021; Dao et al. 2022). That is one product more than with kept probabilities: Z = s Q Kᵀ, twice.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from minigpt.core import workspace
from minigpt.fast.softmax import NUMPY, Inner
from minigpt.fast.team import each
from minigpt.fast.tiles import TILE_NUMBERS, Tile, by_group, factors, tiles
from minigpt.ops.attention import NO_MASK, Mask
from minigpt.ops.dropout import DropoutKey


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
) -> tuple[np.ndarray, LongAttentionCache]:
    """See `minigpt.ops.attention_forward`; `inner` is what is done inside tiles."""
    (b, t, h, d), s, g = q.shape, k.shape[1], k.shape[2]
    scale = 1.0 / math.sqrt(d) if scale is None else scale
    y = workspace.empty(q.shape, q.dtype) if out is None else out
    log_sums = workspace.empty((b, g, h // g, t, 1), q.dtype)
    cache = LongAttentionCache(
        by_group(q, g), by_group(k, g), by_group(v, g), by_group(y, g), log_sums, mask, scale, dropout, key
    )
    heads = list(itertools.product(range(b), range(g)))
    each(_head_forward, heads, cache, _slim_tiles(t, s, mask), inner, work=b * h * t * s)
    return y, cache


def _slim_tiles(queries: int, keys: int, mask: Mask) -> list[Tile]:
    """Tiles of which a single head's fills the cache."""
    seen = min(keys, mask.window or keys)
    return tiles(queries, keys, mask, height=min(queries, 128, max(16, TILE_NUMBERS // max(1, seen))))


def _head_forward(row: int, group: int, cache: LongAttentionCache, cut: list[Tile], inner: Inner) -> None:
    """O and log Σ exp Z of one key-value head of one row of the batch, tile by tile."""
    at = slice(row, row + 1), slice(group, group + 1)
    v, y, log_sums = cache.v[at], cache.y[at], cache.log_sums[at]
    left, right = factors(cache.q[at], cache.k[at], cache.scale)
    scratch = _scratch(cache, cut)
    for tile in cut:
        rows, columns = tile.rows, tile.columns
        e = _product(left[..., rows, :], right[..., columns], scratch)
        sums = inner.softmax(e, log_sums[..., rows, :], row, tile, cache.mask)
        m = _multiplier(cache, row, group, tile, inner)
        if m is not None:
            e *= m
        result = workspace.empty((sums.size * v.shape[-1],), v.dtype)
        np.divide(_product(e, v[..., columns, :], result), sums, out=y[..., rows, :])


def _scratch(c: LongAttentionCache, cut: list[Tile]) -> np.ndarray:
    """Memory for one tile of a head after the other: the same for all of them, so that it stays in cache."""
    height = cut[0].rows.stop if cut else 0
    return workspace.empty((c.q.shape[2] * height * c.k.shape[3],), c.q.dtype)


def _product(a: np.ndarray, b: np.ndarray, scratch: np.ndarray) -> np.ndarray:
    """(1, 1, R, n, I) @ (1, 1, 1, I, m) in scratch memory: the rows of all R heads in one product, not in R."""
    shape = (*a.shape[:-1], b.shape[-1])
    y = scratch[: math.prod(shape)].reshape(-1, b.shape[-1])
    return np.matmul(a.reshape(-1, a.shape[-1]), b[0, 0, 0], out=y).reshape(shape)


def _multiplier(c: LongAttentionCache, row: int, group: int, tile: Tile, inner: Inner) -> np.ndarray | None:
    """What dropout multiplies a tile of probabilities with: the same draw as for all T × S of them at once."""
    if not c.dropout or c.key is None:
        return None
    r, t, s, height = *c.q.shape[2:4], c.k.shape[3], tile.rows.stop - tile.rows.start
    parts = [
        inner.dropout_slice(c.dropout, c.key, row, (head * t + tile.rows.start) * s, height * s, c.q.dtype)
        for head in range(group * r, (group + 1) * r)
    ]
    return np.stack(parts).reshape(1, 1, r, height, s)[..., tile.columns]


def attention_backward(
    dy: np.ndarray,
    cache: LongAttentionCache,
    *,
    out: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    inner: Inner = NUMPY,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `minigpt.ops.attention_backward`; `inner` is what is done inside tiles.

    With P from the log-sum-exp and multipliers m: dV = (m P)ᵀ dO, s dZ = P (m dO (s V)ᵀ − s dO · O), dQ = s dZ K,
    dK = s dZᵀ Q.
    """
    (b, g, r, t, d), s = cache.q.shape, cache.k.shape[3]
    shapes = (b, t, g * r, d), (b, s, g, d), (b, s, g, d)
    dq, dk, dv = out if out is not None else (workspace.empty(n, dy.dtype) for n in shapes)
    dyh = by_group(dy, g)
    dots = np.vecdot(dyh, cache.y)[..., None]  # Σ_j dP_ij P_ij
    dots *= cache.scale
    arrays = dyh, dots, by_group(dq, g), by_group(dk, g), by_group(dv, g)
    cut = _slim_tiles(t, s, cache.mask)
    heads = list(itertools.product(range(b), range(g)))
    each(_head_backward, heads, cache, arrays, cut, inner, work=b * g * r * t * s)
    return dq, dk, dv


def _head_backward(
    row: int, group: int, cache: LongAttentionCache, arrays: tuple[np.ndarray, ...], cut: list[Tile], inner: Inner
) -> None:
    """Gradients of one key-value head of one row of the batch, from dO, s dO · O, and where dQ, dK and dV go."""
    at = slice(row, row + 1), slice(group, group + 1)
    dy, dots, dq, dk, dv = (x[at] for x in arrays)
    q, k, v, log_sums = (x[at] for x in (cache.q, cache.k, cache.v, cache.log_sums))
    scores, gradients = factors(q, k, cache.scale), factors(dy, v, cache.scale)
    r, s, d = cache.q.shape[2], k.shape[3], k.shape[4]
    # both sums over the R query heads and over the tiles
    sums = [workspace.empty((1, 1, r, s, d), dy.dtype) for _ in range(2)]
    for total in sums:
        total[...] = 0.0
    part = workspace.empty((r * s * d,), dy.dtype)
    scratch, scratch_dz = _scratch(cache, cut), _scratch(cache, cut)
    for tile in cut:
        rows, columns = tile.rows, tile.columns
        p, dz = (
            _product(left[..., rows, :], right[..., columns], memory)
            for (left, right), memory in ((scores, scratch), (gradients, scratch_dz))
        )
        inner.softmax_again(p, log_sums[..., rows, :], row, tile, cache.mask)
        m = _multiplier(cache, row, group, tile, inner)
        weights = p if m is None else m * p
        if m is not None:
            dz *= m
        inner.score_gradient(dz, p, dots[..., rows, :], (slice(None),) * 5)
        np.matmul(dz, k[..., columns, :], out=dq[..., rows, :])
        added = part[: r * p.shape[-1] * d].reshape(1, 1, r, p.shape[-1], d)
        for total, left, right in zip(sums, (dz, weights), (q, dy), strict=True):
            total[..., columns, :] += np.matmul(left.swapaxes(-1, -2), right[..., rows, :], out=added)
    for total, result in zip(sums, (dk, dv), strict=True):
        np.sum(total, axis=2, keepdims=True, out=result)
