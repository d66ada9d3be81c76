"""Attention, fast: tiles of queries that never look at what the mask rules out, with the softmax left unnormalised.

The algebra that saves passes over the T × S scores: O = (E V)/l with E = exp(Z − max) and l its row sums, so E is never
divided; and in the backward pass Σ_j dA_ij A_ij = dO_i · O_i, a sum over D numbers instead of S.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minigpt import workspace
from minigpt.fast._common import ones, settle, target
from minigpt.ops.attention import NO_MASK, Mask
from minigpt.ops.dropout import DropoutKey, dropout_multiplier

_TILE_NUMBERS = 192 * 1024  # scores that are worked on at a time


class AttentionCache(NamedTuple):
    q: np.ndarray  # (B, G, R, T, D), times the scale
    k: np.ndarray  # (B, G, 1, S, D)
    v: np.ndarray  # (B, G, 1, S, D)
    y: np.ndarray  # (B, G, R, T, D), the output
    exponentials: np.ndarray  # E, (B, G, R, T, S); undefined where the tiles' keys end
    inverse_sums: np.ndarray  # 1/l, (B, G, R, T, 1); 0 for a query with nothing to look at
    dropout: np.ndarray | None  # (B, G, R, T, S)
    mask: Mask
    scale: float


def _by_group(x: np.ndarray, groups: int) -> np.ndarray:
    """View (B, T, H, D) as (B, G, R, T, D)."""
    b, t, h, d = x.shape
    return x.reshape(b, t, groups, h // groups, d).transpose(0, 2, 3, 1, 4)


@lru_cache(maxsize=32)
def _distance_penalty(queries: int, keys: int, causal: bool, window: int, dtype: np.dtype) -> np.ndarray:
    """0 where a query may look at a key, −∞ where not, (T, S)."""
    allowed = Mask(causal, window).allowed(np, queries, keys)
    return np.where(allowed, 0.0, -math.inf).astype(dtype)


class _Tiles(NamedTuple):
    """How the T × S scores are cut: rows of queries, each with the range of keys that any of them may look at."""

    queries: int
    keys: int
    mask: Mask
    height: int

    def __iter__(self):
        offset = self.keys - self.queries
        for start in range(0, self.queries, self.height):
            stop = min(start + self.height, self.queries)
            first, last = 0, self.keys
            if self.mask.causal:
                last = min(last, stop + offset)
            elif self.mask.window:
                last = min(last, stop - 1 + offset + self.mask.window)
            if self.mask.window:
                first = max(0, start + offset - self.mask.window + 1)
            yield slice(start, stop), slice(min(first, max(last, 0)), max(last, 0))

    def penalize(self, scores: np.ndarray, rows: slice, columns: slice, batch: slice) -> None:
        """Add −∞ to the scores of a tile that the mask rules out."""
        causal, window, padding = self.mask
        if causal or window:
            penalty = _distance_penalty(self.queries, self.keys, causal, window, scores.dtype)
            # without a window only the tile's last columns hold anything but zeros
            edge = columns.start if window else max(columns.start, rows.start + self.keys - self.queries)
            scores[..., edge - columns.start :] += penalty[rows, edge : columns.stop]
        if padding is not None:
            real = padding[batch, columns].astype(bool)
            scores += np.where(real, 0.0, -math.inf).astype(scores.dtype)[:, None, None, None, :]

    def batches(self, rows: int, heads: int):
        """Cut the batch so that a tile's scores stay in cache."""
        step = max(1, _TILE_NUMBERS // max(1, heads * self.height * self.keys))
        for start in range(0, rows, step):
            yield slice(start, min(start + step, rows))


def _tiles(queries: int, keys: int, mask: Mask) -> _Tiles:
    height = queries if queries <= 64 else 64 if queries <= 512 else 128
    return _Tiles(queries, keys, mask, max(1, height))


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
) -> tuple[np.ndarray, AttentionCache]:
    """See `minigpt.ops.attention_forward`."""
    (b, t, h, d), s, g = q.shape, k.shape[1], k.shape[2]
    scale = 1.0 / math.sqrt(d) if scale is None else scale
    scaled = np.multiply(q, scale, out=workspace.empty(q.shape, q.dtype))
    qh, kh, vh = _by_group(scaled, g), _by_group(k, g), _by_group(v, g)
    y = target(out, q.shape, q.dtype)
    yh = _by_group(y, g)
    shape = (b, g, h // g, t, s)
    exponentials = workspace.empty(shape, q.dtype)
    inverse_sums = workspace.empty((*shape[:-1], 1), q.dtype)
    multiplier = dropout_multiplier(exponentials, dropout, key) if dropout and key is not None else None
    tiles = _tiles(t, s, mask)
    for batch in tiles.batches(b, h):
        for rows, columns in tiles:
            e = exponentials[batch, :, :, rows, columns]
            inverse = inverse_sums[batch, :, :, rows]
            np.matmul(qh[batch, :, :, rows], kh[batch, :, :, columns].swapaxes(-1, -2), out=e)
            tiles.penalize(e, rows, columns, batch)
            _exponentials(e, inverse, may_be_empty=mask.key_padding is not None or t > s)
            result = yh[batch, :, :, rows]
            weights = e if multiplier is None else e * multiplier[batch, :, :, rows, columns]
            np.matmul(weights, vh[batch, :, :, columns], out=result)
            result *= inverse
    y = settle(y, out)
    yh = _by_group(y, g)
    return y, AttentionCache(qh, kh, vh, yh, exponentials, inverse_sums, multiplier, mask, scale)


def _exponentials(scores: np.ndarray, inverse: np.ndarray, *, may_be_empty: bool) -> None:
    """Turn scores into exp(score − row maximum) in place, and put one over the row sums into `inverse`."""
    if scores.shape[-1] == 0:
        inverse[...] = 0.0
        return
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


def attention_backward(
    dy: np.ndarray, cache: AttentionCache, *, out: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `minigpt.ops.attention_backward`.

    With d = dO/l: dV = Eᵀ d (each with dropout's multipliers), dZ = E (m d Vᵀ − d · O), dQ = s dZ K, dK = dZᵀ (s Q).
    """
    qh, kh, vh, yh, exponentials, inverse_sums, multiplier, mask, scale = cache
    (b, g, r, t, d), s = qh.shape, kh.shape[3]
    scaled = workspace.empty(dy.shape, dy.dtype)
    dh = _by_group(scaled, g)
    np.multiply(_by_group(dy, g), inverse_sums, out=dh)
    dots = np.vecdot(dh, yh)[..., None]  # Σ_j dA_ij A_ij / l_i
    dq, dk, dv = out if out is not None else (workspace.empty(n, dy.dtype) for n in _result_shapes(qh, kh))
    dqh, dkh, dvh = _by_group(dq, g), _by_group(dk, g), _by_group(dv, g)
    tiles = _tiles(t, s, mask)
    for batch in tiles.batches(b, g * r):
        sums = dkh[batch], dvh[batch]
        if r > 1:  # one key-value head served r query heads, whose parts are summed at the end
            shape = (batch.stop - batch.start, g, r, s, d)
            sums = workspace.empty(shape, dy.dtype), workspace.empty(shape, dy.dtype)
        # Without a window the last queries may see every key: their part is written, what comes after is added to it.
        write = not mask.window
        if not write:
            sums[0][...] = sums[1][...] = 0.0
        for rows, columns in reversed(list(tiles)):
            e, d_tile = exponentials[batch, :, :, rows, columns], dh[batch, :, :, rows]
            dz = workspace.empty(e.shape, e.dtype)
            np.matmul(d_tile, vh[batch, :, :, columns].swapaxes(-1, -2), out=dz)
            weights = e
            if multiplier is not None:
                dz *= multiplier[batch, :, :, rows, columns]
                weights = e * multiplier[batch, :, :, rows, columns]
            dz -= dots[batch, :, :, rows]
            dz *= e
            np.matmul(dz, kh[batch, :, :, columns], out=dqh[batch, :, :, rows])
            for total, left, right in zip(sums, (dz, weights), (qh[batch, :, :, rows], d_tile), strict=True):
                if write:
                    np.matmul(left.swapaxes(-1, -2), right, out=total)
                else:
                    total[..., columns, :] += left.swapaxes(-1, -2) @ right
            write = False
        if r > 1:
            np.sum(sums[0], axis=2, keepdims=True, out=dkh[batch])
            np.sum(sums[1], axis=2, keepdims=True, out=dvh[batch])
    dq *= scale
    return dq, dk, dv


def _result_shapes(qh: np.ndarray, kh: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """The shapes of dq, dk and dv."""
    (b, g, r, t, d), s = qh.shape, kh.shape[3]
    return (b, t, g * r, d), (b, s, g, d), (b, s, g, d)
