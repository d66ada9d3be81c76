"""Embeddings: rows looked up by token id, and learned positions added to them.

The forward pass is a look-up; its backward pass is the opposite, a scatter: a token that occurs n times in the batch
receives the sum of n gradients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigpt.backend import Array, array_module
from minigpt.ops._common import deliver, rows


class EmbeddingCache(NamedTuple):
    ids: Array  # (…,) int
    table_rows: int


class PositionCache(NamedTuple):
    start: int
    length: int


def embedding_forward(ids: Array, table: Array, *, out: Array | None = None) -> tuple[Array, EmbeddingCache]:
    """y_n = E[id_n].

    Args:
        ids: (…,) integer token ids in 0 … V−1.
        table: E, (V, C).
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
    return deliver(table[ids], out), EmbeddingCache(ids, len(table))


def embedding_backward(dy: Array, cache: EmbeddingCache, dtable: Array) -> None:
    """dE_v = Σ_{n: id_n = v} dy_n, added to `dtable` (V, C). Ids carry no gradient.

    Equal ids are brought together by sorting and each group is summed, in one fixed order, so the result is the same
    bits every time. A plain `dtable[ids] += dy` would keep only one of several equal ids.
    """
    xp = array_module(dy, dtable)
    ids, dy = cache.ids.reshape(-1), rows(dy)  # (N,), (N, C)
    if ids.size == 0:
        return
    if cache.table_rows <= 512:  # a small table: one matrix product with the one-hot ids, dE = onehotᵀ dy
        one_hot = (xp.arange(cache.table_rows)[:, None] == ids).astype(dy.dtype)  # (V, N)
        dtable += xp.matmul(one_hot, dy)  # (V, N) @ (N, C) -> (V, C)
        return
    order = xp.argsort(ids, kind="stable")
    ids, dy = ids[order], dy[order]
    if xp is np:
        starts = xp.flatnonzero(xp.concatenate([xp.ones(1, bool), ids[1:] != ids[:-1]]))
        dtable[ids[starts]] += xp.add.reduceat(dy, starts, axis=0)
    else:  # CuPy has no reduceat; its scatter adds with atomics
        xp.add.at(dtable, ids, dy)


def position_forward(
    x: Array, table: Array, *, start: int = 0, out: Array | None = None
) -> tuple[Array, PositionCache]:
    """y_bt = x_bt + P[start + t]: the learned position table, added to every row of the batch.

    Args:
        x: (B, T, C).
        table: P, (context, C).
        start: the position of x's first column (more than 0 when a cache holds what came before).
    Raises:
        ValueError: the text is longer than the table.
    """
    length = x.shape[1]
    if start + length > len(table):
        raise ValueError(f"{start + length} positions do not fit the model's context of {len(table)} tokens")
    return deliver(x + table[start : start + length], out), PositionCache(start, length)


def position_backward(dy: Array, cache: PositionCache, dtable: Array, *, out: Array | None = None) -> Array:
    """dP[start + t] += Σ_b dy_bt, since every row b of the batch uses the same position t; dx = dy."""
    dtable[cache.start : cache.start + cache.length] += dy.sum(axis=0)  # (B, T, C) -> (T, C)
    return deliver(dy, out)
