"""Embeddings: rows looked up by token id, and a table of positions, learned or fixed, added to them.

The forward pass is a look-up; its backward pass is the opposite, a scatter: a token that occurs n times in the batch
receives the sum of n gradients.
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import numpy as np

from minigpt.core.backend import Array, array_module
from minigpt.ops._common import Out, deliver, rows


class EmbeddingCache(NamedTuple):
    ids: Array  # (…,) int
    table_rows: int
    scale: float = 1.0


class PositionCache(NamedTuple):
    positions: int | Array  # of the first column, or of every token, (B, T)
    length: int
    table_rows: int


def embedding_forward(ids: Array, table: Array, *, scale: float = 1.0, out: Out = None) -> tuple[Array, EmbeddingCache]:
    """y_n = s E[id_n].

    Args:
        ids: (…,) integer token ids in 0 … V−1.
        table: E, (V, C).
        scale: s; √C in the original Transformer, whose table is also the output layer's and has entries of order 1/√C.
    Returns:
        y (…, C) and the cache for `embedding_backward`.
    Raises:
        ValueError: an id is outside the table (checked on the CPU; on a GPU the check would stall the device, so
            there ids are checked where they are made).
    """
    xp = array_module(ids, table)
    if xp is np and ids.size and not (ids.min() >= 0 and ids.max() < len(table)):
        bad = ids.min() if ids.min() < 0 else ids.max()
        raise ValueError(f"token id {bad} is outside the vocabulary of {len(table)} tokens")
    y = table[ids] if scale == 1.0 else table[ids] * scale
    return deliver(y, out), EmbeddingCache(ids, len(table), scale)


def embedding_backward(dy: Array, cache: EmbeddingCache, dtable: Array) -> None:
    """dE_v = s Σ_{n: id_n = v} dy_n, added to `dtable` (V, C). Ids carry no gradient.

    A plain `dtable[ids] += dy` would keep only one of several equal ids. On a CPU the sums run in one fixed order, so
    the result is bit for bit the same every time; on a GPU a large table is summed with atomics, in no fixed order.
    """
    xp = array_module(dy, dtable)
    ids, dy = cache.ids.reshape(-1), rows(dy)  # (N,), (N, C)
    if ids.size == 0:
        return
    if cache.scale != 1.0:
        dy = dy * cache.scale
    if cache.table_rows <= 512:  # a small table: one matrix product with the one-hot ids, dE = onehotᵀ dy
        one_hot = (xp.arange(cache.table_rows)[:, None] == ids).astype(dy.dtype)  # (V, N)
        dtable += xp.matmul(one_hot, dy)  # (V, N) @ (N, C) -> (V, C)
        return
    order = xp.argsort(ids, kind="stable")  # equal ids side by side: each group is one sum
    ids, dy = ids[order], dy[order]
    if xp is np:
        starts = xp.flatnonzero(xp.concatenate([xp.ones(1, bool), ids[1:] != ids[:-1]]))
        dtable[ids[starts]] += xp.add.reduceat(dy, starts, axis=0)
    else:  # CuPy's scatter adds with atomics, and in no bfloat16
        total = xp.zeros(dtable.shape, np.float32) if dtable.itemsize == 2 else dtable
        xp.add.at(total, ids, dy.astype(total.dtype, copy=False))
        if total is not dtable:
            dtable += total.astype(dtable.dtype)


def position_forward(
    x: Array, table: Array, *, positions: int | Array = 0, out: Out = None
) -> tuple[Array, PositionCache]:
    """y_bt = x_bt + P[m_bt]: the row of each token's position m, added to it.

    Args:
        x: (B, T, C).
        table: P, (context, C).
        positions: m of x's first column (more than 0 when a cache holds what came before), the same for every row of
            the batch; or m of every token, (B, T) integers (rows that are padded on the left).
    Raises:
        ValueError: the text is longer than the table.
    """
    cache = PositionCache(positions, x.shape[1], len(table))
    return deliver(x + table[position_rows(cache, array_module(x, table))], out), cache


def position_backward(dy: Array, cache: PositionCache, dtable: Array | None, *, out: Out = None) -> Array:
    """dP[m] += Σ_{bt: m_bt = m} dy_bt and dx = dy. `dtable` is None where the table is fixed (sinusoids)."""
    positions, length, context = cache
    if dtable is not None:
        if isinstance(positions, int):
            dtable[positions : positions + length] += dy.sum(axis=0)  # (B, T, C) -> (T, C)
        else:
            embedding_backward(dy, EmbeddingCache(positions, context), dtable)
    return deliver(dy, out)


def position_rows(cache: PositionCache, xp: ModuleType) -> slice | Array:
    """Which rows of the table are added; refuses those beyond its end (on a GPU only where that costs nothing)."""
    positions, length, context = cache
    last = 0
    if isinstance(positions, int):
        last = positions + length - 1
    elif xp is np:
        last = positions.max(initial=0)
    if last >= context:
        raise ValueError(f"{last + 1} positions do not fit the model's context of {context} tokens")
    return slice(positions, positions + length) if isinstance(positions, int) else positions
