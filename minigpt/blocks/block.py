"""The Transformer block: attention and a feed-forward layer, each with a residual connection and a norm.

Pre-norm (GPT-2, Llama): x + f(norm(x)). Post-norm (the first Transformer, GPT, BERT, BART): norm(x + f(x)). f is
attention, in a decoder with an encoder then attention to the encoder's output, and last the feed-forward layer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minigpt import ops
from minigpt.backend import Array
from minigpt.blocks.attention import (
    AttentionResults,
    attention_results,
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
from minigpt.blocks.recompute import BlockCache, Kept, backward_of, block_of
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


class PairCache(NamedTuple):
    """Of a sub-layer with its norm and residual connection."""

    norm: Any
    inner: Any


def block_forward(
    x: Array, p: Scope, c: BlockConfig, run: Run, site: int, mask: ops.Mask, positions: int | Array = 0
) -> tuple[Array, BlockCache | Kept]:
    """The block of an encoder, or of a decoder without one: (B, T, C) to (B, T, C).

    Args:
        site: the number of the block's first dropout site; it has SITES_PER_BLOCK.
        positions: see `qkv_forward`.
    """

    def attention(x: Array, kept: AttentionResults | None) -> tuple[Array, PairCache]:
        return _attention_forward(x, p, c, run, site, mask, positions, kept)

    def feed_forward(x: Array, run: Run) -> tuple[Array, PairCache]:
        return _feed_forward_forward(x, p, c, run, site + 2)

    return block_of(attention, feed_forward, lambda cache: attention_results(cache.inner, c, run), x, run)


def block_backward(dx: Array, cache: BlockCache | Kept, g: Scope, c: BlockConfig, run: Run) -> Array:
    """The same parts from the last to the first."""

    def attention_backward(dx: Array, cache: PairCache) -> Array:
        return _attention_backward(dx, cache, g, c, run)

    def feed_forward_backward(dx: Array, cache: PairCache) -> Array:
        return _feed_forward_backward(dx, cache, g, c, run)

    return backward_of(attention_backward, feed_forward_backward, dx, cache, run)


def _attention_forward(
    x: Array,
    p: Scope,
    c: BlockConfig,
    run: Run,
    site: int,
    mask: ops.Mask,
    positions: int | Array,
    kept: AttentionResults | None,
) -> tuple[Array, PairCache]:
    attention = p.scope("attention")
    if c.norm == "pre":
        h, c_norm = norm_forward(x, p, "norm1", c, run)
        a, c_attention = self_attention_forward(h, attention, c, run, site, mask, positions, kept)
        x = run.ops.add(x, a)
    else:
        a, c_attention = self_attention_forward(x, attention, c, run, site, mask, positions, kept)
        x, c_norm = norm_forward(run.ops.add(x, a), p, "norm1", c, run)
    return x, PairCache(c_norm, c_attention)


def _attention_backward(dx: Array, cache: PairCache, g: Scope, c: BlockConfig, run: Run) -> Array:
    """At the sum the gradient flows into both summands."""
    attention = g.scope("attention")
    if c.norm == "pre":
        dh = self_attention_backward(dx, cache.inner, attention, c, run)  # x + a
        return run.ops.add(dx, norm_backward(dh, cache.norm, g, "norm1", c, run))
    dx = norm_backward(dx, cache.norm, g, "norm1", c, run)
    return run.ops.add(dx, self_attention_backward(dx, cache.inner, attention, c, run))  # x + a


def _feed_forward_forward(x: Array, p: Scope, c: BlockConfig, run: Run, site: int) -> tuple[Array, PairCache]:
    mlp = p.scope("mlp")
    if c.norm == "pre":
        h, c_norm = norm_forward(x, p, "norm2", c, run)
        m, c_mlp = mlp_forward(h, mlp, c, run, site)
        x = run.ops.add(x, m)
    else:
        m, c_mlp = mlp_forward(x, mlp, c, run, site)
        x, c_norm = norm_forward(run.ops.add(x, m), p, "norm2", c, run)
    return x, PairCache(c_norm, c_mlp)


def _feed_forward_backward(dx: Array, cache: PairCache, g: Scope, c: BlockConfig, run: Run) -> Array:
    mlp = g.scope("mlp")
    if c.norm == "pre":
        dh = mlp_backward(dx, cache.inner, mlp, c, run)  # x + m
        return run.ops.add(dx, norm_backward(dh, cache.norm, g, "norm2", c, run))
    dx = norm_backward(dx, cache.norm, g, "norm2", c, run)
    return run.ops.add(dx, mlp_backward(dx, cache.inner, mlp, c, run))  # x + m


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
) -> tuple[Array, BlockCache | Kept]:
    """x (B, T, C) looks at itself, then at the memory (B, S, C), then goes through the feed-forward layer.

    Args:
        memory: the encoder's output.
        site: the number of the block's first dropout site; it has SITES_PER_DECODER_BLOCK.
        mask, memory_mask: of self-attention (causal) and of cross-attention (the memory's padding).
    """

    def attention(x: Array, kept: tuple | None) -> tuple[Array, tuple[PairCache, PairCache]]:
        kept_own, kept_cross = kept or (None, None)
        x, c_own = _attention_forward(x, p, c, run, site, mask, positions, kept_own)
        x, c_cross = _cross_forward(x, memory, p, c, run, site + 2, memory_mask, kept_cross)
        return x, (c_own, c_cross)

    def results(cache: tuple[PairCache, PairCache]) -> tuple[AttentionResults, ...]:
        return tuple(attention_results(pair.inner, c, run) for pair in cache)

    def feed_forward(x: Array, run: Run) -> tuple[Array, PairCache]:
        return _feed_forward_forward(x, p, c, run, site + 4)

    return block_of(attention, feed_forward, results, x, run)


def decoder_block_backward(
    dx: Array, cache: BlockCache | Kept, g: Scope, c: BlockConfig, run: Run, dmemory: Array
) -> Array:
    """Return the gradient of x, and add that of the memory into `dmemory` (B, S, C)."""

    def attention_backward(dx: Array, cache: tuple[PairCache, PairCache]) -> Array:
        dx = _cross_backward(dx, cache[1], g, c, run, dmemory)
        return _attention_backward(dx, cache[0], g, c, run)

    def feed_forward_backward(dx: Array, cache: PairCache) -> Array:
        return _feed_forward_backward(dx, cache, g, c, run)

    return backward_of(attention_backward, feed_forward_backward, dx, cache, run)


def _cross_forward(
    x: Array,
    memory: Array,
    p: Scope,
    c: BlockConfig,
    run: Run,
    site: int,
    mask: ops.Mask,
    kept: AttentionResults | None,
) -> tuple[Array, PairCache]:
    cross = p.scope("cross")
    if c.norm == "pre":
        h, c_norm = norm_forward(x, p, "norm_cross", c, run)
        a, c_cross = cross_attention_forward(h, memory, cross, c, run, site, mask, kept)
        x = run.ops.add(x, a)
    else:
        a, c_cross = cross_attention_forward(x, memory, cross, c, run, site, mask, kept)
        x, c_norm = norm_forward(run.ops.add(x, a), p, "norm_cross", c, run)
    return x, PairCache(c_norm, c_cross)


def _cross_backward(dx: Array, cache: PairCache, g: Scope, c: BlockConfig, run: Run, dmemory: Array) -> Array:
    cross = g.scope("cross")
    if c.norm == "pre":
        dh = cross_attention_backward(dx, cache.inner, cross, c, run, dmemory)  # x + a, a from x and the memory
        return run.ops.add(dx, norm_backward(dh, cache.norm, g, "norm_cross", c, run))
    dx = norm_backward(dx, cache.norm, g, "norm_cross", c, run)
    return run.ops.add(dx, cross_attention_backward(dx, cache.inner, cross, c, run, dmemory))  # x + a, from both
