"""Blocks one after another: the body of every model.

Here it is decided whether blocks keep all that their backward pass needs, or less (see `minigpt.blocks.recompute`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigpt import ops
from minigpt.blocks import recompute
from minigpt.blocks.block import BlockCache, Memory, block_backward, block_forward, sites
from minigpt.blocks.config import BlockConfig
from minigpt.blocks.layers import settled
from minigpt.blocks.run import Run
from minigpt.core.backend import Array
from minigpt.core.params import Scope
from minigpt.ops.operations import Sum

StackCache = list[BlockCache | recompute.Kept]


def keeps_less(x: Array, run: Run) -> bool:
    """Whether blocks on x (B, T, C) keep less: if asked to, and on long rows.

    Unasked on the CPU only, where products of a tile are as quick as of all positions.
    """
    return run.recompute or (isinstance(x, np.ndarray) and x.shape[1] >= recompute.LONG)


def stack_forward(
    x: Array,
    p: Scope,
    c: BlockConfig,
    run: Run,
    site: int,
    masks: Sequence[ops.Mask],
    positions: int | Array = 0,
    memory: Memory | None = None,
) -> tuple[Array, StackCache]:
    """Blocks 0, 1, … of the scope, as many as there are masks: (B, T, C) to (B, T, C).

    Args:
        site: the number of the first block's first dropout site.
        positions: see `qkv_forward`.
        memory: what all of a decoder's blocks look at.
    """
    forward = recompute.block_forward if keeps_less(x, run) else block_forward
    caches: StackCache = []
    y: Array | Sum = x
    for layer, mask in enumerate(masks):
        place = site + layer * sites(memory)
        y, cache = forward(y, p.scope(str(layer)), c, run, place, mask, positions, memory)
        caches.append(cache)
    return settled(y, run), caches


def stack_backward(
    dx: Array, caches: StackCache, g: Scope, c: BlockConfig, run: Run, dmemory: Array | None = None
) -> Array:
    """Return the gradient of x; every layer adds the memory's into `dmemory` (B, S, C)."""
    for layer in reversed(range(len(caches))):
        cache, scope = caches[layer], g.scope(str(layer))
        if isinstance(cache, recompute.Kept):
            dx = recompute.block_backward(dx, cache, scope, c, run, dmemory)
        else:
            dx = block_backward(dx, cache, scope, c, run, dmemory)
        scope.done()
    return dx
