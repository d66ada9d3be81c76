"""The Transformer block: attention and a feed-forward layer, each with a residual connection and a norm.

Pre-norm (GPT-2, Llama): x + f(norm(x)). Post-norm (the first Transformer, GPT, BERT, BART): norm(x + f(x)). f is
attention, in a decoder with an encoder then attention to the encoder's output, and last the feed-forward layer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minigpt import ops
from minigpt.backend import Array
from minigpt.blocks.attention import (
    cross_attention_backward,
    cross_attention_forward,
    cross_attention_specs,
    self_attention_backward,
    self_attention_forward,
    self_attention_specs,
)
from minigpt.blocks.config import BlockConfig
from minigpt.blocks.layers import (
    mlp_backward,
    mlp_forward,
    mlp_specs,
    norm_backward,
    norm_forward,
    norm_specs,
)
from minigpt.blocks.recompute import Recomputed, cache_again, without_cache
from minigpt.params import ParameterSpec, Scope
from minigpt.run import Run

SITES_PER_BLOCK = 4  # attention probabilities, attention output, feed-forward output and activation
SITES_PER_DECODER_BLOCK = 6  # these, and cross-attention's probabilities and output


def block_specs(name: str, c: BlockConfig) -> list[ParameterSpec]:
    """The tensors of one block."""
    return [
        *norm_specs(f"{name}.norm1", c),
        *self_attention_specs(f"{name}.attention", c),
        *norm_specs(f"{name}.norm2", c),
        *mlp_specs(f"{name}.mlp", c),
    ]


class BlockCache(NamedTuple):
    norm1: Any
    attention: Any
    norm2: Any
    mlp: Any


def block_forward(
    x: Array, p: Scope, c: BlockConfig, run: Run, site: int, mask: ops.Mask, positions: int | Array = 0
) -> tuple[Array, BlockCache | Recomputed]:
    """The block of an encoder, or of a decoder without one: (B, T, C) to (B, T, C).

    Args:
        site: the number of the block's first dropout site; it has SITES_PER_BLOCK.
        positions: see `qkv_forward`.
    """
    if run.recompute:
        return without_cache(_block_forward, x, p, c, run, site, mask, positions)
    return _block_forward(x, p, c, run, site, mask, positions)


def _block_forward(
    x: Array, p: Scope, c: BlockConfig, run: Run, site: int, mask: ops.Mask, positions: int | Array
) -> tuple[Array, BlockCache]:
    attention, mlp = p.scope("attention"), p.scope("mlp")
    if c.norm == "pre":
        h, c_norm1 = norm_forward(x, p, "norm1", c, run)
        a, c_attention = self_attention_forward(h, attention, c, run, site, mask, positions)
        x = run.ops.add(x, a)
        h, c_norm2 = norm_forward(x, p, "norm2", c, run)
        m, c_mlp = mlp_forward(h, mlp, c, run, site + 2)
        x = run.ops.add(x, m)
    else:
        a, c_attention = self_attention_forward(x, attention, c, run, site, mask, positions)
        x, c_norm1 = norm_forward(run.ops.add(x, a), p, "norm1", c, run)
        m, c_mlp = mlp_forward(x, mlp, c, run, site + 2)
        x, c_norm2 = norm_forward(run.ops.add(x, m), p, "norm2", c, run)
    return x, BlockCache(c_norm1, c_attention, c_norm2, c_mlp)


def block_backward(dx: Array, cache: BlockCache | Recomputed, g: Scope, c: BlockConfig, run: Run) -> Array:
    """The same lines from the last to the first; at every sum the gradient flows into both summands."""
    cache = cache_again(cache)
    attention, mlp = g.scope("attention"), g.scope("mlp")
    if c.norm == "pre":
        dh = mlp_backward(dx, cache.mlp, mlp, c, run)  # x + m
        dx = run.ops.add(dx, norm_backward(dh, cache.norm2, g, "norm2", c, run))
        dh = self_attention_backward(dx, cache.attention, attention, c, run)  # x + a
        return run.ops.add(dx, norm_backward(dh, cache.norm1, g, "norm1", c, run))
    dx = norm_backward(dx, cache.norm2, g, "norm2", c, run)
    dx = run.ops.add(dx, mlp_backward(dx, cache.mlp, mlp, c, run))  # x + m
    dx = norm_backward(dx, cache.norm1, g, "norm1", c, run)
    return run.ops.add(dx, self_attention_backward(dx, cache.attention, attention, c, run))  # x + a


def decoder_block_specs(name: str, c: BlockConfig) -> list[ParameterSpec]:
    """The tensors of one decoder block that looks at an encoder's output."""
    return [
        *norm_specs(f"{name}.norm1", c),
        *self_attention_specs(f"{name}.attention", c),
        *norm_specs(f"{name}.norm_cross", c),
        *cross_attention_specs(f"{name}.cross", c),
        *norm_specs(f"{name}.norm2", c),
        *mlp_specs(f"{name}.mlp", c),
    ]


class DecoderBlockCache(NamedTuple):
    norm1: Any
    attention: Any
    norm_cross: Any
    cross: Any
    norm2: Any
    mlp: Any


def decoder_block_forward(
    x: Array,
    memory: Array,
    p: Scope,
    c: BlockConfig,
    run: Run,
    site: int,
    mask: ops.Mask,
    memory_mask: ops.Mask,
    positions: int | Array = 0,
) -> tuple[Array, DecoderBlockCache | Recomputed]:
    """x (B, T, C) looks at itself, then at the memory (B, S, C), then goes through the feed-forward layer.

    Args:
        memory: the encoder's output.
        site: the number of the block's first dropout site; it has SITES_PER_DECODER_BLOCK.
        mask, memory_mask: of self-attention (causal) and of cross-attention (the memory's padding).
    """
    if run.recompute:
        return without_cache(_decoder_block_forward, x, memory, p, c, run, site, mask, memory_mask, positions)
    return _decoder_block_forward(x, memory, p, c, run, site, mask, memory_mask, positions)


def _decoder_block_forward(
    x: Array,
    memory: Array,
    p: Scope,
    c: BlockConfig,
    run: Run,
    site: int,
    mask: ops.Mask,
    memory_mask: ops.Mask,
    positions: int | Array,
) -> tuple[Array, DecoderBlockCache]:
    attention, cross, mlp = p.scope("attention"), p.scope("cross"), p.scope("mlp")
    if c.norm == "pre":
        h, c_norm1 = norm_forward(x, p, "norm1", c, run)
        a, c_attention = self_attention_forward(h, attention, c, run, site, mask, positions)
        x = run.ops.add(x, a)
        h, c_norm_cross = norm_forward(x, p, "norm_cross", c, run)
        a, c_cross = cross_attention_forward(h, memory, cross, c, run, site + 2, memory_mask)
        x = run.ops.add(x, a)
        h, c_norm2 = norm_forward(x, p, "norm2", c, run)
        m, c_mlp = mlp_forward(h, mlp, c, run, site + 4)
        x = run.ops.add(x, m)
    else:
        a, c_attention = self_attention_forward(x, attention, c, run, site, mask, positions)
        x, c_norm1 = norm_forward(run.ops.add(x, a), p, "norm1", c, run)
        a, c_cross = cross_attention_forward(x, memory, cross, c, run, site + 2, memory_mask)
        x, c_norm_cross = norm_forward(run.ops.add(x, a), p, "norm_cross", c, run)
        m, c_mlp = mlp_forward(x, mlp, c, run, site + 4)
        x, c_norm2 = norm_forward(run.ops.add(x, m), p, "norm2", c, run)
    return x, DecoderBlockCache(c_norm1, c_attention, c_norm_cross, c_cross, c_norm2, c_mlp)


def decoder_block_backward(
    dx: Array, cache: DecoderBlockCache | Recomputed, g: Scope, c: BlockConfig, run: Run, dmemory: Array
) -> Array:
    """Return the gradient of x, and add that of the memory into `dmemory` (B, S, C)."""
    cache = cache_again(cache)
    attention, cross, mlp = g.scope("attention"), g.scope("cross"), g.scope("mlp")
    if c.norm == "pre":
        dh = mlp_backward(dx, cache.mlp, mlp, c, run)  # x + m
        dx = run.ops.add(dx, norm_backward(dh, cache.norm2, g, "norm2", c, run))
        dh = cross_attention_backward(dx, cache.cross, cross, c, run, dmemory)  # x + a, a from x and the memory
        dx = run.ops.add(dx, norm_backward(dh, cache.norm_cross, g, "norm_cross", c, run))
        dh = self_attention_backward(dx, cache.attention, attention, c, run)  # x + a
        return run.ops.add(dx, norm_backward(dh, cache.norm1, g, "norm1", c, run))
    dx = norm_backward(dx, cache.norm2, g, "norm2", c, run)
    dx = run.ops.add(dx, mlp_backward(dx, cache.mlp, mlp, c, run))  # x + m
    dx = norm_backward(dx, cache.norm_cross, g, "norm_cross", c, run)
    dx = run.ops.add(dx, cross_attention_backward(dx, cache.cross, cross, c, run, dmemory))  # x + a, from both
    dx = norm_backward(dx, cache.norm1, g, "norm1", c, run)
    return run.ops.add(dx, self_attention_backward(dx, cache.attention, attention, c, run))  # x + a
