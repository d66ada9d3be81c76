"""What is done inside a tile of attention's scores, as loops: the mask is where a loop ends.

A loop gets arrays whole, since it is quick where it knows that numbers are neighbours, and beside them where in
(B, G, R, T, S) its tile lies.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minigpt.core import workspace
from minigpt.fast import attention, softmax
from minigpt.fast.loops.compiled import compiled
from minigpt.fast.loops.dropout import dropout_multiplier, dropout_slice
from minigpt.fast.loops.functions import exp, largest
from minigpt.fast.softmax import Inner, Place
from minigpt.fast.tiles import Tile
from minigpt.ops.attention import Mask


class _Box(NamedTuple):
    """Where a tile begins along B, G, T and S, and its shape."""

    batch: int
    group: int
    query: int
    key: int
    batches: int
    groups: int
    heads: int
    queries: int
    keys: int


class _Sight(NamedTuple):
    """What a mask lets queries see: query t stands at t + offset among the keys (see `minigpt.ops.Mask`)."""

    offset: int
    causal: bool
    window: int
    padding: np.ndarray  # (B, S), False where a key is none; empty if all are


@compiled
def _seen(sight: _Sight, t: int, first: int, last: int) -> tuple[int, int]:
    """Which of the keys first … last − 1 query t may see, padding apart."""
    at = t + sight.offset
    if sight.window:
        first, last = max(first, at - sight.window + 1), min(last, at + sight.window)
    if sight.causal:
        last = min(last, at + 1)
    return first, max(first, last)


@compiled
def _exponentials(
    e: np.ndarray, inverse: np.ndarray, log_sums: np.ndarray, box: _Box, sight: _Sight, known: bool
) -> None:
    """Turn a tile's scores z into e^(z − max z), row by row and in place, and keep 1/Σ and log Σ e^z of each row.

    Where the log-sums are `known`, z becomes e^(z − log Σ e^z) instead. Keys that are out of sight get 0; a row that
    sees nothing has 1/Σ = 0 and log Σ = ∞.

    Args:
        e: (B, G, R, T, S), at `box` with the scores.
        inverse: (B, G, R, T, 1); not touched if the log-sums are known.
        log_sums: the same, or empty: then they are not kept.
    """
    zero, one, infinity = e.dtype.type(0), e.dtype.type(1), e.dtype.type(np.inf)
    for i, j, r, k in np.ndindex(box.batches, box.groups, box.heads, box.queries):
        b, g, t, end = box.batch + i, box.group + j, box.query + k, box.key + box.keys
        row = e[b, g, r, t]
        first, last = _seen(sight, t, box.key, end)
        row[box.key : min(first, end)] = zero
        row[min(last, end) : end] = zero
        z = row[first:last]
        if sight.padding.size:
            for s in range(z.size):
                if not sight.padding[b, first + s]:
                    z[s] = -infinity
        top = log_sums[b, g, r, t, 0] if known else largest(z)
        if top == -infinity:
            top = zero
        total = zero
        for s in range(z.size):
            x = exp(z[s] - top)
            z[s] = x
            total += x
        if not known:
            inverse[b, g, r, t, 0] = zero if total == zero else one / total
            if log_sums.size:
                log_sums[b, g, r, t, 0] = infinity if total == zero else top + math.log(total)


@compiled
def _row_gradient(
    dy: np.ndarray, y: np.ndarray, inverse: np.ndarray, d: np.ndarray, dots: np.ndarray, scale: float
) -> None:
    """d = dO/l and s d · O of every query: dO, O and d are (B, T, H, D), 1/l and the products (B, H, T)."""
    for b, t, h in np.ndindex(dy.shape[:3]):
        dot = dy.dtype.type(0)
        for i in range(dy.shape[3]):
            x = dy[b, t, h, i] * inverse[b, h, t]
            d[b, t, h, i] = x
            dot += x * y[b, t, h, i]
        dots[b, h, t] = dot * dy.dtype.type(scale)


@compiled
def _score_gradient(dz: np.ndarray, p: np.ndarray, dots: np.ndarray, box: _Box) -> None:
    """dZ = P (dP − dO · O) in place of dP, at `box`; `dz` has no other rows of the batch and groups than the box."""
    for i, j, r, k in np.ndindex(box.batches, box.groups, box.heads, box.queries):
        b, g, t = box.batch + i, box.group + j, box.query + k
        first, last = box.key, box.key + box.keys
        d, row, dot = dz[i, j, r, t, first:last], p[b, g, r, t, first:last], dots[b, g, r, t, 0]
        for s in range(d.size):
            d[s] = row[s] * (d[s] - dot)


@compiled
def _one_query(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, y: np.ndarray, e: np.ndarray, inverse: np.ndarray, scale: float
) -> None:
    """softmax(s q Kᵀ) V: of q and y (B, H, D), k and v (B, S, G, D), with E (B, H, S) and 1/l (B, H).

    Keys and values are read in their order, once, with all heads of a token, which is how they lie.
    """
    real, heads = y.dtype.type, q.shape[1] // k.shape[2]  # query heads of a key
    for b in range(q.shape[0]):
        for s, h in np.ndindex(k.shape[1], q.shape[1]):
            dot = real(0)
            for i in range(q.shape[2]):
                dot += q[b, h, i] * k[b, s, h // heads, i]
            e[b, h, s] = dot * real(scale)
        y[b] = 0
        for h in range(q.shape[1]):
            row, total = e[b, h], real(0)
            top = largest(row)
            for s in range(row.size):
                row[s] = exp(row[s] - top)
                total += row[s]
            inverse[b, h] = real(1) / total
        for s, h in np.ndindex(k.shape[1], q.shape[1]):
            share = e[b, h, s] * inverse[b, h]
            for i in range(q.shape[2]):
                y[b, h, i] += share * v[b, s, h // heads, i]


def _exponentials_of(
    q: np.ndarray, kt: np.ndarray, e: np.ndarray, inverse: np.ndarray, place: Place, tile: Tile, mask: Mask
) -> None:
    """See `minigpt.fast.softmax.exponentials`."""
    np.matmul(q, kt, out=e[place])
    sight = _sight(mask, tile.ahead + tile.columns.start - tile.rows.start, slice(0, e.shape[0]), slice(0, e.shape[4]))
    _exponentials(e, inverse, np.empty((0, 0, 0, 0, 0), e.dtype), _box(e, place), sight, False)


def _softmax(z: np.ndarray, log_sums: np.ndarray, row: int, tile: Tile, mask: Mask) -> np.ndarray:
    """See `minigpt.fast.softmax.softmax`."""
    inverse, kept = np.empty(log_sums.shape, z.dtype), np.empty(log_sums.shape, z.dtype)
    sight = _sight(mask, tile.ahead, slice(row, row + 1), tile.columns)
    _exponentials(z, inverse, kept, _box(z, _WHOLE), sight, False)
    log_sums[...] = kept
    return np.divide(1.0, inverse, where=inverse > 0.0, out=np.ones_like(inverse))


def _softmax_again(z: np.ndarray, log_sums: np.ndarray, row: int, tile: Tile, mask: Mask) -> None:
    """See `minigpt.fast.softmax.softmax_again`."""
    known = np.ascontiguousarray(log_sums)
    sight = _sight(mask, tile.ahead, slice(row, row + 1), tile.columns)
    _exponentials(z, known, known, _box(z, _WHOLE), sight, True)


def _row_gradient_of(dy: np.ndarray, y: np.ndarray, inverse: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """See `minigpt.fast.softmax.row_gradient`."""
    d, dots, by_head = workspace.empty(dy.shape, dy.dtype), np.empty_like(inverse), (len(dy), -1, dy.shape[1])
    rows = np.ascontiguousarray(dy), np.ascontiguousarray(y.transpose(0, 3, 1, 2, 4)).reshape(dy.shape)
    _row_gradient(*rows, inverse.reshape(by_head), d, dots.reshape(by_head), scale)
    return d, dots


def _score_gradient_of(dz: np.ndarray, p: np.ndarray, dots: np.ndarray, place: Place) -> None:
    """See `minigpt.fast.softmax.score_gradient`."""
    _score_gradient(dz, p, np.ascontiguousarray(dots), _box(p, place))


def _one_query_of(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, y: np.ndarray, e: np.ndarray, inverse: np.ndarray, scale: float
) -> None:
    """See `minigpt.fast.softmax.one_query`, which takes several texts: their keys do not lie next to one another."""
    if all(x.flags.c_contiguous for x in (q, k, v, y)):
        _one_query(
            q[:, 0], k, v, y[:, 0], e.reshape(-1, q.shape[2], k.shape[1]), inverse.reshape(-1, q.shape[2]), scale
        )
    else:
        softmax.one_query(q, k, v, y, e, inverse, scale)


_WHOLE = (slice(None),) * 5


def _box(x: np.ndarray, place: Place) -> _Box:
    starts = [cut.start or 0 for cut in place]
    return _Box(starts[0], starts[1], starts[3], starts[4], *x[place].shape)


def _sight(mask: Mask, offset: int, batch: slice, columns: slice) -> _Sight:
    padding = _NO_PADDING if mask.key_padding is None else mask.key_padding[batch, columns].astype(bool, order="C")
    return _Sight(offset, bool(mask.causal), mask.window, padding)


_NO_PADDING = np.zeros((0, 0), bool)
INNER = Inner(
    _exponentials_of,
    _softmax,
    _softmax_again,
    _row_gradient_of,
    _score_gradient_of,
    _one_query_of,
    dropout_multiplier,
    dropout_slice,
)
PAIR: dict[str, Any] = {
    "attention_forward": partial(attention.attention_forward, inner=INNER),
    "attention_backward": partial(attention.attention_backward, inner=INNER),
}
