"""Activation recomputation (Chen et al. 2016): keep less of a block, and compute the rest again in the backward pass.

A block's cache is 16 times its input, and a row of a batch cannot be cut as a batch can. So a block on long rows keeps
only its input and what attention made of it, the one part whose time grows with T² (keeping the dear and small is
called selective recomputation, Korthikanti et al. 2022, though they keep all but attention). Norms, projections and the
feed-forward part are computed again. With `run.recompute` a block of any length keeps its input alone.

The feed-forward part takes every position by itself; where it will be computed again it works on a tile of positions at
a time, both ways. Dropout draws are named and not remembered, so they are the same the second time, and so is every bit
of the activations; the gradients of the feed-forward part's parameters are added up tile by tile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minigpt.backend import Array
from minigpt.run import Run

LONG = 2048  # positions of a row from which its blocks keep less
_TILE = 1024  # positions, of all rows together, that the feed-forward part works on at a time

Part = Callable[..., tuple[Array, Any]]


class BlockCache(NamedTuple):
    attention: Any
    feed_forward: Any


class Kept(NamedTuple):
    """What a block's cache is made from again."""

    x: Array  # (B, T, C)
    results: Any  # attention's, or None
    attention: Part
    feed_forward: Part
    run: Run  # of the forward pass: it names the dropout draws


def block_of(attention: Part, feed_forward: Part, results: Callable[[Any], Any], x: Array, run: Run) -> Any:
    """x (B, T, C) through a block: its attention part, then its feed-forward part. Returns y (B, T, C) and the cache.

    Args:
        attention: (x, results) to (y, cache), where results, unless None, need not be computed again.
        feed_forward: (x, run) to (y, cache), position by position.
        results: takes what is worth keeping out of the cache of `attention`.
    """
    y, c_attention = attention(x, None)
    if not (run.recompute or _is_long(x)):
        y, c_feed_forward = feed_forward(y, run)
        return y, BlockCache(c_attention, c_feed_forward)
    kept = None if run.recompute else results(c_attention)
    del c_attention
    out = run.ops.empty(y.shape, like=y)
    for part, part_run in _tiles(y, run):
        out[:, part] = feed_forward(y[:, part], part_run)[0]
    return out, Kept(x, kept, attention, feed_forward, run)


def backward_of(
    attention_backward: Callable[[Array, Any], Array],
    feed_forward_backward: Callable[[Array, Any], Array],
    dy: Array,
    cache: BlockCache | Kept,
    run: Run,
) -> Array:
    """dy (B, T, C) through the block backwards: returns dx (B, T, C)."""
    if isinstance(cache, BlockCache):
        return attention_backward(feed_forward_backward(dy, cache.feed_forward), cache.attention)
    y, c_attention = cache.attention(cache.x, cache.results)
    dx = run.ops.empty(dy.shape, like=dy)
    for part, part_run in _tiles(y, cache.run):
        c_feed_forward = cache.feed_forward(y[:, part], part_run)[1]
        dx[:, part] = feed_forward_backward(dy[:, part], c_feed_forward)
        del c_feed_forward  # before the next one is made
    del y
    return attention_backward(dx, c_attention)


def _is_long(x: Array) -> bool:
    """Whether blocks keep less unasked: on the CPU, where products of a tile are as quick as of all positions."""
    return isinstance(x, np.ndarray) and x.shape[1] >= LONG


def _tiles(x: Array, run: Run) -> Iterator[tuple[slice, Run]]:
    """Parts of the positions of x (B, T, C), and the run that draws their dropout."""
    step = max(1, _TILE // max(1, len(x)))
    for start in range(0, x.shape[1], step):
        yield slice(start, start + step), dataclasses.replace(run, position=run.position + start)
