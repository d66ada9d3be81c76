"""A stack of blocks as production takes it: of sub-layers that may be fused, each block keeping all or little.

The functions here take the place of those of the same names in `minigpt.blocks.block`, which calls them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minigpt.blocks import recompute
from minigpt.blocks.attention import Memory
from minigpt.blocks.config import BlockConfig
from minigpt.blocks.fused import (
    AttentionSublayerCache,
    CrossSublayerCache,
    MLPSublayerCache,
    attention_sublayer_backward,
    attention_sublayer_forward,
    cross_sublayer_backward,
    cross_sublayer_forward,
    mlp_sublayer_backward,
    mlp_sublayer_forward,
    settled,
)
from minigpt.blocks.run import Run
from minigpt.core.backend import Array
from minigpt.core.params import Scope
from minigpt.ops import Mask
from minigpt.ops.operations import Sum


class Whole(NamedTuple):
    """A block's cache with all that its backward pass needs."""

    attention: AttentionSublayerCache
    cross: CrossSublayerCache | None
    mlp: MLPSublayerCache


class Caches(NamedTuple):
    """Of every block the whole cache, or what it is made from again."""

    blocks: list[Whole | recompute.Kept]


def stack_forward(
    x: Array,
    p: Scope,
    c: BlockConfig,
    run: Run,
    sites: Sequence[int],
    masks: Sequence[Mask],
    positions: int | Array,
    memory: Memory | None,
    little: bool,
) -> tuple[Array, Caches]:
    """Args: `sites`, `masks`: each block's first dropout site and mask; `little`: whether they keep little."""
    caches: list[Whole | recompute.Kept] = []
    y: Array | Sum = x
    for layer, (site, mask) in enumerate(zip(sites, masks, strict=True)):
        scope, c_cross = p.scope(str(layer)), None
        if little:
            y, kept = recompute.block_forward(settled(y, run), scope, c, run, site, mask, positions, memory)
            caches.append(kept)
            continue
        y, c_attention = attention_sublayer_forward(y, scope, c, run, site, mask, positions)
        if memory is not None:
            y, c_cross = cross_sublayer_forward(y, memory, scope, c, run, site + 2)
        y, c_mlp = mlp_sublayer_forward(y, scope, c, run, site + (2 if memory is None else 4))
        caches.append(Whole(c_attention, c_cross, c_mlp))
    return settled(y, run), Caches(caches)


def stack_backward(dx: Array, caches: Caches, g: Scope, c: BlockConfig, run: Run, dmemory: Array | None) -> Array:
    for layer, cache in reversed(list(enumerate(caches.blocks))):
        scope = g.scope(str(layer))
        if isinstance(cache, recompute.Kept):
            dx = recompute.block_backward(dx, cache, scope, c, run, dmemory)
        else:
            dx = mlp_sublayer_backward(dx, cache.mlp, scope, c, run)
            if cache.cross is not None:
                assert dmemory is not None  # of a block that has a memory
                dx = cross_sublayer_backward(dx, cache.cross, scope, c, run, dmemory)
            dx = attention_sublayer_backward(dx, cache.attention, scope, c, run)
        scope.done()
    return dx
