"""The Transformer block: attention and a feed-forward layer, each with a residual connection and a norm.

Pre-norm (GPT-2, Llama): x + f(norm(x)). Post-norm (the first Transformer, GPT, BERT, BART): norm(x + f(x)). f is
attention, in a decoder with an encoder then attention to the encoder's output, and last the feed-forward layer. Such an
f with its norm and residual connection is a sub-layer, as in the Transformer's paper. Cross-attention, to an encoder's
output, is in the blocks that are given that memory.
"""

from __future__ import annotations

from typing import NamedTuple

from minigpt.blocks.attention import (
    AttentionResults,
    CrossAttentionCache,
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
    norm_add_backward,
    norm_backward,
    norm_specs,
    settled,
    sum_norm_forward,
)
from minigpt.blocks.run import Run
from minigpt.core.backend import Array
from minigpt.core.params import ParameterSpec, Scope
from minigpt.ops import Cache, Mask
from minigpt.ops.operations import Sum

SITES_PER_BLOCK = 4  # attention probabilities, attention output, feed-forward output and activation
SITES_PER_DECODER_BLOCK = 6  # these, and cross-attention's probabilities and output


class Memory(NamedTuple):
    """What a decoder's blocks look at besides the sequence: an encoder's output, the same for all of them."""

    states: Array  # (B, S, C)
    mask: Mask  # of cross-attention: the memory's padding


def sites(memory: Memory | None) -> int:
    """How many dropout sites a block has."""
    return SITES_PER_BLOCK if memory is None else SITES_PER_DECODER_BLOCK


def mlp_site(site: int, memory: Memory | None) -> int:
    """The feed-forward layer's first site, in a block that begins at `site`: it has the last two."""
    return site + sites(memory) - 2


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


class AttentionSublayerCache(NamedTuple):
    norm: Cache
    attention: SelfAttentionCache


class CrossSublayerCache(NamedTuple):
    norm: Cache
    attention: CrossAttentionCache


class MLPSublayerCache(NamedTuple):
    norm: Cache
    mlp: MLPCache


class BlockCache(NamedTuple):
    attention: AttentionSublayerCache
    cross: CrossSublayerCache | None
    mlp: MLPSublayerCache


def block_forward(
    x: Array | Sum,
    p: Scope,
    c: BlockConfig,
    run: Run,
    site: int,
    mask: Mask,
    positions: int | Array = 0,
    memory: Memory | None = None,
) -> tuple[Array | Sum, BlockCache]:
    """x (B, T, C) looks at itself, then at the memory if there is one, then goes through the feed-forward layer.

    Args:
        x: what the block before gave. A pre-norm block ends in a sum, which the next norm may work out (see `Sum`).
        site: the number of the block's first dropout site; it has SITES_PER_BLOCK, or SITES_PER_DECODER_BLOCK.
        mask: of self-attention.
        positions: see `qkv_forward`.
    """
    x, c_attention = attention_sublayer_forward(x, p, c, run, site, mask, positions)
    c_cross = None
    if memory is not None:
        x, c_cross = cross_sublayer_forward(x, memory, p, c, run, site + 2)
    x, c_mlp = mlp_sublayer_forward(x, p, c, run, mlp_site(site, memory))
    return x, BlockCache(c_attention, c_cross, c_mlp)


def block_backward(
    dx: Array, cache: BlockCache, g: Scope, c: BlockConfig, run: Run, dmemory: Array | None = None
) -> Array:
    """The same from the last to the first; the memory's gradient is added into `dmemory` (B, S, C)."""
    dx = mlp_sublayer_backward(dx, cache.mlp, g, c, run)
    if cache.cross is not None:
        assert dmemory is not None  # of a block that has a memory
        dx = cross_sublayer_backward(dx, cache.cross, g, c, run, dmemory)
    return attention_sublayer_backward(dx, cache.attention, g, c, run)


def attention_sublayer_forward(
    x: Array | Sum,
    p: Scope,
    c: BlockConfig,
    run: Run,
    site: int,
    mask: Mask,
    positions: int | Array = 0,
    kept: AttentionResults | None = None,
) -> tuple[Array | Sum, AttentionSublayerCache]:
    """x + attention(norm1(x)), or norm1(x + attention(x)).

    Args:
        kept: see `self_attention_forward`.
    """
    attention = p.scope("attention")
    if c.pre_norm:
        x, h, c_norm = sum_norm_forward(x, p, "norm1", c, run)
        y, c_attention = self_attention_forward(h, attention, c, run, site, mask, positions, kept, onto=x)
    else:
        x = settled(x, run)
        y, c_attention = self_attention_forward(x, attention, c, run, site, mask, positions, kept, onto=x)
        _, y, c_norm = sum_norm_forward(y, p, "norm1", c, run)
    return y, AttentionSublayerCache(c_norm, c_attention)


def attention_sublayer_backward(dx: Array, cache: AttentionSublayerCache, g: Scope, c: BlockConfig, run: Run) -> Array:
    """At the sum x + attention(…) the gradient flows into both summands."""
    attention = g.scope("attention")
    if c.pre_norm:
        dh = self_attention_backward(dx, cache.attention, attention, c, run)
        return norm_add_backward(dx, dh, cache.norm, g, "norm1", c, run)
    dx = norm_backward(dx, cache.norm, g, "norm1", c, run)
    return run.ops.add(dx, self_attention_backward(dx, cache.attention, attention, c, run))


def mlp_sublayer_forward(
    x: Array | Sum, p: Scope, c: BlockConfig, run: Run, site: int
) -> tuple[Array | Sum, MLPSublayerCache]:
    """x + mlp(norm2(x)), or norm2(x + mlp(x))."""
    mlp = p.scope("mlp")
    if c.pre_norm:
        x, h, c_norm = sum_norm_forward(x, p, "norm2", c, run)
        y, c_mlp = mlp_forward(h, mlp, c, run, site, onto=x)
    else:
        x = settled(x, run)
        y, c_mlp = mlp_forward(x, mlp, c, run, site, onto=x)
        _, y, c_norm = sum_norm_forward(y, p, "norm2", c, run)
    return y, MLPSublayerCache(c_norm, c_mlp)


def mlp_sublayer_backward(dx: Array, cache: MLPSublayerCache, g: Scope, c: BlockConfig, run: Run) -> Array:
    """At the sum x + mlp(…) the gradient flows into both summands."""
    mlp = g.scope("mlp")
    if c.pre_norm:
        dh = mlp_backward(dx, cache.mlp, mlp, c, run)
        return norm_add_backward(dx, dh, cache.norm, g, "norm2", c, run)
    dx = norm_backward(dx, cache.norm, g, "norm2", c, run)
    return run.ops.add(dx, mlp_backward(dx, cache.mlp, mlp, c, run))


def cross_sublayer_forward(
    x: Array | Sum, memory: Memory, p: Scope, c: BlockConfig, run: Run, site: int, kept: AttentionResults | None = None
) -> tuple[Array, CrossSublayerCache]:
    """norm_cross(x + cross(x, memory)): models with an encoder and a decoder are post-norm."""
    cross, states, mask = p.scope("cross"), *memory
    x = settled(x, run)
    y, c_cross = cross_attention_forward(x, states, cross, c, run, site, mask, kept, onto=x)
    _, y, c_norm = sum_norm_forward(y, p, "norm_cross", c, run)
    return y, CrossSublayerCache(c_norm, c_cross)


def cross_sublayer_backward(
    dx: Array, cache: CrossSublayerCache, g: Scope, c: BlockConfig, run: Run, dmemory: Array
) -> Array:
    dx = norm_backward(dx, cache.norm, g, "norm_cross", c, run)
    return run.ops.add(dx, cross_attention_backward(dx, cache.attention, g.scope("cross"), c, run, dmemory))
