"""The Transformer block, attention and a feed-forward layer, each with a residual connection and a norm; and a stack.

Pre-norm (GPT-2, Llama): x + f(norm(x)). Post-norm (the first Transformer, GPT, BERT, BART): norm(x + f(x)). f is
attention, in a decoder with an encoder then attention to the encoder's output, and last the feed-forward layer. Models
with an encoder and a decoder are post-norm.

This is the block to read. What fused operations, long rows and little memory ask for stands beside it, in
`minigpt.blocks.fused` and `minigpt.blocks.recompute`; `stack_forward` chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minigpt.blocks import fused, recompute
from minigpt.blocks.attention import (
    CrossAttentionCache,
    Memory,
    SelfAttentionCache,
    cross_attention_backward,
    cross_attention_forward,
    cross_attention_specs,
    self_attention_backward,
    self_attention_forward,
    self_attention_specs,
)
from minigpt.blocks.config import BlockConfig
from minigpt.blocks.layers import (
    MLPCache,
    mlp_backward,
    mlp_forward,
    mlp_specs,
    norm_backward,
    norm_forward,
    norm_specs,
)
from minigpt.blocks.run import Run
from minigpt.core.backend import Array
from minigpt.core.params import ParameterSpec, Scope
from minigpt.ops import Cache, Mask
from minigpt.ops.operations import Sum

SITES_PER_BLOCK = 4  # attention probabilities, attention output, feed-forward output and activation
SITES_PER_DECODER_BLOCK = 6  # between these, cross-attention's probabilities and output


def block_specs(name: str, c: BlockConfig, *, cross: bool = False) -> list[ParameterSpec]:
    """The tensors of one block. Args: `cross`: whether it looks at an encoder's output."""
    between = [*norm_specs(f"{name}.norm_cross", c), *cross_attention_specs(f"{name}.cross", c)] if cross else []
    return [
        *norm_specs(f"{name}.norm1", c),
        *self_attention_specs(f"{name}.attention", c),
        *between,
        *norm_specs(f"{name}.norm2", c),
        *mlp_specs(f"{name}.mlp", c),
    ]


class BlockCache(NamedTuple):
    norm1: Cache
    attention: SelfAttentionCache
    norm_cross: Cache
    cross: CrossAttentionCache | None
    norm2: Cache
    mlp: MLPCache


StackCache = list[BlockCache | fused.BlockCache | recompute.Kept]


def block_forward(
    x: Array,
    p: Scope,
    c: BlockConfig,
    run: Run,
    site: int,
    mask: Mask,
    positions: int | Array = 0,
    memory: Memory | None = None,
) -> tuple[Array, BlockCache]:
    """(B, T, C) to (B, T, C).

    Args:
        site: the number of the block's first dropout site.
        positions: see `qkv_forward`.
        memory: what a decoder's block looks at between attention and the feed-forward layer.
    """
    attention, mlp = p.scope("attention"), p.scope("mlp")
    if c.pre_norm:
        h, c_norm1 = norm_forward(x, p, "norm1", c, run)
        h, c_attention = self_attention_forward(h, attention, c, run, site, mask, positions)
        x = run.ops.add(x, h)  # x + attention(norm1(x))
        h, c_norm2 = norm_forward(x, p, "norm2", c, run)
        h, c_mlp = mlp_forward(h, mlp, c, run, site + 2)
        return run.ops.add(x, h), BlockCache(c_norm1, c_attention, None, None, c_norm2, c_mlp)  # x + mlp(norm2(x))
    c_norm_cross = c_cross = None
    h, c_attention = self_attention_forward(x, attention, c, run, site, mask, positions)
    x, c_norm1 = norm_forward(run.ops.add(x, h), p, "norm1", c, run)  # norm1(x + attention(x))
    if memory is not None:
        site += 2
        h, c_cross = cross_attention_forward(x, memory, p.scope("cross"), c, run, site)
        x, c_norm_cross = norm_forward(run.ops.add(x, h), p, "norm_cross", c, run)  # norm_cross(x + cross(x, memory))
    h, c_mlp = mlp_forward(x, mlp, c, run, site + 2)
    x, c_norm2 = norm_forward(run.ops.add(x, h), p, "norm2", c, run)  # norm2(x + mlp(x))
    return x, BlockCache(c_norm1, c_attention, c_norm_cross, c_cross, c_norm2, c_mlp)


def block_backward(
    dx: Array, cache: BlockCache, g: Scope, c: BlockConfig, run: Run, dmemory: Array | None = None
) -> Array:
    """The same from the last to the first; at a sum the gradient flows into both summands.

    The memory's gradient is added into `dmemory` (B, S, C).
    """
    attention, mlp = g.scope("attention"), g.scope("mlp")
    if c.pre_norm:
        dh = mlp_backward(dx, cache.mlp, mlp, c, run)
        dx = run.ops.add(dx, norm_backward(dh, cache.norm2, g, "norm2", c, run))  # x + mlp(norm2(x))
        del dh  # before attention takes memory
        dh = self_attention_backward(dx, cache.attention, attention, c, run)
        return run.ops.add(dx, norm_backward(dh, cache.norm1, g, "norm1", c, run))  # x + attention(norm1(x))
    dx = norm_backward(dx, cache.norm2, g, "norm2", c, run)
    dx = run.ops.add(dx, mlp_backward(dx, cache.mlp, mlp, c, run))  # norm2(x + mlp(x))
    if cache.cross is not None:
        assert dmemory is not None  # of a block that has a memory
        dx = norm_backward(dx, cache.norm_cross, g, "norm_cross", c, run)
        dx = run.ops.add(dx, cross_attention_backward(dx, cache.cross, g.scope("cross"), c, run, dmemory))
    dx = norm_backward(dx, cache.norm1, g, "norm1", c, run)
    return run.ops.add(dx, self_attention_backward(dx, cache.attention, attention, c, run))  # norm1(x + attention(x))


def stack_forward(
    x: Array,
    p: Scope,
    c: BlockConfig,
    run: Run,
    site: int,
    masks: Sequence[Mask],
    positions: int | Array = 0,
    memory: Memory | None = None,
) -> tuple[Array, StackCache]:
    """Blocks 0, 1, … of the scope, as many as there are masks: (B, T, C) to (B, T, C).

    Args: see `block_forward`.
    """
    sites = SITES_PER_BLOCK if memory is None else SITES_PER_DECODER_BLOCK
    # unasked on the CPU only, where products of a tile are as quick as of all positions
    little = run.recompute or (isinstance(x, np.ndarray) and x.shape[1] >= recompute.LONG)
    y: Array | Sum = x
    caches: StackCache = []
    for layer, mask in enumerate(masks):
        scope, first = p.scope(str(layer)), site + sites * layer
        cache: BlockCache | fused.BlockCache | recompute.Kept
        if little:
            y, cache = recompute.block_forward(y, scope, c, run, first, mask, positions, memory)
        elif isinstance(y, Sum) or run.ops.FUSED:
            y, cache = fused.block_forward(y, scope, c, run, first, mask, positions, memory)
        else:
            y, cache = block_forward(y, scope, c, run, first, mask, positions, memory)
        caches.append(cache)
    return fused.settled(y, run), caches


def stack_backward(
    dx: Array, caches: StackCache, g: Scope, c: BlockConfig, run: Run, dmemory: Array | None = None
) -> Array:
    """Return the gradient of x; every layer adds the memory's into `dmemory` (B, S, C)."""
    for layer in reversed(range(len(caches))):
        scope, cache = g.scope(str(layer)), caches[layer]
        if isinstance(cache, recompute.Kept):
            dx = recompute.block_backward(dx, cache, scope, c, run, dmemory)
        elif isinstance(cache, fused.BlockCache):
            dx = fused.block_backward(dx, cache, scope, c, run, dmemory)
        else:
            dx = block_backward(dx, cache, scope, c, run, dmemory)
        scope.done()
    return dx
