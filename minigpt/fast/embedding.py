"""Embeddings, fast: rows taken straight into reused memory."""

from __future__ import annotations

import numpy as np

from minigpt.core import workspace
from minigpt.fast.int8 import Int8Table
from minigpt.ops.embedding import EmbeddingCache, PositionCache, position_rows


def embedding_forward(
    ids: np.ndarray, table: np.ndarray | Int8Table, *, scale: float = 1.0, out: np.ndarray | None = None
) -> tuple[np.ndarray, EmbeddingCache]:
    """See `minigpt.ops.embedding_forward`."""
    if ids.size and not (ids.min() >= 0 and ids.max() < len(table)):
        bad = ids.min() if ids.min() < 0 else ids.max()
        raise ValueError(f"token id {bad} is outside the vocabulary of {len(table)} tokens")
    y = workspace.empty((*ids.shape, table.shape[1]), table.dtype) if out is None else out
    table.take(ids, axis=0, out=y, mode="clip")  # "clip" writes into out directly; the ids are checked
    if scale != 1.0:
        y *= scale
    return y, EmbeddingCache(ids, len(table), scale)


def position_forward(
    x: np.ndarray, table: np.ndarray, *, positions: int | np.ndarray = 0, out: np.ndarray | None = None
) -> tuple[np.ndarray, PositionCache]:
    """See `minigpt.ops.position_forward`."""
    cache = PositionCache(positions, x.shape[1], len(table))
    y = workspace.empty(x.shape, x.dtype) if out is None else out
    return np.add(x, table[position_rows(cache, np)], out=y), cache
