"""Activation recomputation (Chen et al. 2016): keep less of a block, and compute the rest again in the backward pass.

A block's cache is 16 times its input, and a row of a batch cannot be cut as a batch can. So a block on long rows keeps
only its input and what attention made of it, the one part whose time grows with T² (keeping the dear and small is
called selective recomputation, Korthikanti et al. 2022, though they keep all but attention). Norms, projections and the
feed-forward layer are computed again. With `run.recompute` a block of any length keeps its input alone.

The feed-forward layer takes every position by itself; where it will be computed again it works on a tile of positions
at a time, both ways. Dropout draws are named and not remembered, so they are the same the second time, and so is every
bit of the activations; the gradients of the feed-forward layer's parameters are added up tile by tile.

`block_forward` and `block_backward` take the place of those in `minigpt.blocks.block`; `stack_forward` decides when.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

from minigpt import ops
from minigpt.blocks import fused
from minigpt.blocks.attention import CrossAttentionCache, Memory, SelfAttentionCache
from minigpt.blocks.config import BlockConfig
from minigpt.blocks.run import Run
from minigpt.core.backend import Array
from minigpt.core.params import Scope
from minigpt.ops.operations import Sum

LONG = 2048  # positions of a row from which its blocks keep less
_TILE = 1024  # positions, of all rows together, that the feed-forward layer works on at a time


class Kept(NamedTuple):
    """What a block's cache is made from again."""

    x: Array  # (B, T, C)
    own: fused.AttentionResults | None  # of attention to the sequence itself, and
    cross: fused.AttentionResults | None  # to the memory
    p: Scope
    site: int
    mask: ops.Mask
    positions: int | Array
    memory: Memory | None
    run: Run  # of the forward pass: it names the dropout draws


def block_forward(
    x: Array | Sum,
    p: Scope,
    c: BlockConfig,
    run: Run,
    site: int,
    mask: ops.Mask,
    positions: int | Array = 0,
    memory: Memory | None = None,
) -> tuple[Array, Kept]:
    x = fused.settled(x, run)
    y, c_own = fused.attention_sublayer_forward(x, p, c, run, site, mask, positions)
    own = None if run.recompute else _results(c_own.inner, c, run)
    del c_own  # before what follows takes memory
    cross = None
    if memory is not None:
        y, c_cross = fused.cross_sublayer_forward(y, memory, p, c, run, site + 2)
        cross = None if run.recompute else _results(c_cross.inner, c, run)
        del c_cross
    kept = Kept(x, own, cross, p, site, mask, positions, memory, run)
    return _mlp_in_tiles(fused.settled(y, run), p, c, run, fused.mlp_site(site, memory)), kept


def block_backward(dy: Array, cache: Kept, g: Scope, c: BlockConfig, run: Run, dmemory: Array | None = None) -> Array:
    k, c_cross = cache, None
    y, c_own = fused.attention_sublayer_forward(k.x, k.p, c, k.run, k.site, k.mask, k.positions, k.own)
    if k.memory is not None:
        y, c_cross = fused.cross_sublayer_forward(y, k.memory, k.p, c, k.run, k.site + 2, k.cross)
    y = fused.settled(y, k.run)
    dx = _mlp_in_tiles_backward(dy, y, k.p, g, c, k.run, fused.mlp_site(k.site, k.memory))
    del y
    return fused.attention_sublayers_backward(dx, fused.Attentions(c_own, c_cross), g, c, run, dmemory)


def _results(cache: SelfAttentionCache | CrossAttentionCache, c: BlockConfig, run: Run) -> fused.AttentionResults:
    """What is dear in the cache of a pass: attention's output, which is the input of `out`, and what belongs to it."""
    y = cache.out.x
    heads = y.reshape(*y.shape[:-1], c.heads, c.head_width)
    return fused.AttentionResults(heads, run.ops.attention_results(cache.attention))


def _mlp_in_tiles(y: Array, p: Scope, c: BlockConfig, run: Run, site: int) -> Array:
    """The feed-forward sub-layer, of which nothing is kept: (B, T, C) to (B, T, C)."""
    out = run.ops.empty(y.shape, like=y)
    for part, part_run in _tiles(y, run):
        out[:, part] = fused.settled(fused.mlp_sublayer_forward(y[:, part], p, c, part_run, site)[0], run)
    return out


def _mlp_in_tiles_backward(dy: Array, y: Array, p: Scope, g: Scope, c: BlockConfig, run: Run, site: int) -> Array:
    """Its way back, from the input y (B, T, C) that it had."""
    dx = run.ops.empty(dy.shape, like=dy)
    for part, part_run in _tiles(y, run):
        cache = fused.mlp_sublayer_forward(y[:, part], p, c, part_run, site)[1]
        dx[:, part] = fused.mlp_sublayer_backward(dy[:, part], cache, g, c, run)
        del cache  # before the next one is made
    return dx


def _tiles(x: Array, run: Run) -> Iterator[tuple[slice, Run]]:
    """Parts of the positions of x (B, T, C), and the run that draws their dropout."""
    step = max(1, _TILE // max(1, len(x)))
    for start in range(0, x.shape[1], step):
        yield slice(start, start + step), dataclasses.replace(run, position=run.position + start)
