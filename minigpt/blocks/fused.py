"""The sub-layers of a block where operations that follow one another are one (`FUSED` of the operations at hand).

A sub-layer is attention, cross-attention or the feed-forward layer with its norm and residual connection. These give
what `minigpt.blocks.block` gives, and with operations of which none is fused bit by bit. A residual sum may leave a
sub-layer as a `Sum`, not worked out yet: the norm that reads it does that. Recomputation (`minigpt.blocks.recompute`)
and generation (`minigpt.blocks.step`) are made of these as well.
"""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

from minigpt.blocks.attention import (
    CrossAttentionCache,
    Memory,
    SelfAttentionCache,
    cross_attention_backward,
    memory_kv_forward,
    qkv_forward,
    self_attention_backward,
)
from minigpt.blocks.config import BlockConfig
from minigpt.blocks.layers import MLPCache, linear_backward, linear_forward, mlp_backward, norm_backward, norm_forward
from minigpt.blocks.run import Run
from minigpt.core.backend import Array
from minigpt.core.params import Scope
from minigpt.ops import Cache, DropoutKey, Mask
from minigpt.ops.operations import Sum

Inner = TypeVar("Inner", SelfAttentionCache, CrossAttentionCache, MLPCache)


class AttentionResults(NamedTuple):
    """What it takes to go on after attention, without computing it again."""

    y: Array  # (B, T, H, D)
    results: Cache  # see `ops.attention_results`


class SublayerCache(NamedTuple, Generic[Inner]):
    norm: Cache
    inner: Inner  # of attention, cross-attention or the feed-forward layer


class Attentions(NamedTuple):
    """To the sequence itself and, in a block that has a memory, to that."""

    own: SublayerCache[SelfAttentionCache]
    cross: SublayerCache[CrossAttentionCache] | None


class BlockCache(NamedTuple):
    """All that a block's backward pass needs."""

    attentions: Attentions
    mlp: SublayerCache[MLPCache]


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
    y, c_attention = attention_sublayer_forward(x, p, c, run, site, mask, positions)
    c_cross = None
    if memory is not None:
        y, c_cross = cross_sublayer_forward(y, memory, p, c, run, site + 2)
    y, c_mlp = mlp_sublayer_forward(y, p, c, run, mlp_site(site, memory))
    return y, BlockCache(Attentions(c_attention, c_cross), c_mlp)


def block_backward(
    dx: Array, cache: BlockCache, g: Scope, c: BlockConfig, run: Run, dmemory: Array | None = None
) -> Array:
    dx = mlp_sublayer_backward(dx, cache.mlp, g, c, run)
    return attention_sublayers_backward(dx, cache.attentions, g, c, run, dmemory)


def mlp_site(site: int, memory: Memory | None) -> int:
    """The feed-forward layer's first dropout site, in a block that begins at `site`."""
    return site + (2 if memory is None else 4)


def attention_sublayer_forward(
    x: Array | Sum,
    p: Scope,
    c: BlockConfig,
    run: Run,
    site: int,
    mask: Mask,
    positions: int | Array = 0,
    kept: AttentionResults | None = None,
) -> tuple[Array | Sum, SublayerCache[SelfAttentionCache]]:
    """x + attention(norm1(x)), or norm1(x + attention(x)).

    Args:
        kept: attention's results of an earlier pass over the same x; attention itself is not computed again then.
    """
    attention, (x, h, c_norm) = p.scope("attention"), _begun(x, p, "norm1", c, run)
    (q, k, v), c_qkv = qkv_forward(h, attention, c, run, positions)
    y, c_attention = _attention(q, k, v, c, run, site, mask, kept)
    total, c_out, c_dropout = _joined(x, y, attention, "out", c.dropout, run.dropout_key(site + 1), run)
    total, c_norm = _ended(total, c_norm, p, "norm1", c, run)
    return total, SublayerCache(c_norm, SelfAttentionCache(c_qkv, c_attention, c_out, c_dropout))


def attention_sublayers_backward(
    dx: Array, caches: Attentions, g: Scope, c: BlockConfig, run: Run, dmemory: Array | None
) -> Array:
    """Of cross-attention, where there is a memory, and of attention before it."""
    cache, c_cross = caches
    if c_cross is not None:
        assert dmemory is not None  # of a block that has a memory
        dx = norm_backward(dx, c_cross.norm, g, "norm_cross", c, run)
        dx = run.ops.add(dx, cross_attention_backward(dx, c_cross.inner, g.scope("cross"), c, run, dmemory))
    dx = dx if c.pre_norm else norm_backward(dx, cache.norm, g, "norm1", c, run)
    dh = self_attention_backward(dx, cache.inner, g.scope("attention"), c, run)
    return _begun_backward(dx, dh, cache.norm, g, "norm1", c, run)


def cross_sublayer_forward(
    x: Array | Sum, memory: Memory, p: Scope, c: BlockConfig, run: Run, site: int, kept: AttentionResults | None = None
) -> tuple[Array | Sum, SublayerCache[CrossAttentionCache]]:
    """norm_cross(x + cross(x, memory)): models with an encoder and a decoder are post-norm.

    Args:
        kept: see `attention_sublayer_forward`.
    """
    x, cross = settled(x, run), p.scope("cross")
    q, c_q = linear_forward(x, cross, "q", run)  # (B, T, H·D)
    (k, v), c_kv = memory_kv_forward(memory.states, cross, c, run)
    q = q.reshape(*x.shape[:2], c.heads, c.head_width)
    y, c_attention = _attention(q, k, v, c, run, site, memory.mask, kept)
    total, c_out, c_dropout = _joined(x, y, cross, "out", c.dropout, run.dropout_key(site + 1), run)
    _, y, c_norm = _sum_norm_forward(total, p, "norm_cross", c, run)
    return y, SublayerCache(c_norm, CrossAttentionCache(c_q, c_kv, c_attention, c_out, c_dropout))


def mlp_sublayer_forward(
    x: Array | Sum, p: Scope, c: BlockConfig, run: Run, site: int
) -> tuple[Array | Sum, SublayerCache[MLPCache]]:
    """x + mlp(norm2(x)), or norm2(x + mlp(x))."""
    mlp, (x, h, c_norm) = p.scope("mlp"), _begun(x, p, "norm2", c, run)
    if fused := _biased_activation(c, run):
        h, c_up = run.ops.linear_forward(h, mlp["up.weight"])
        h, c_activation = fused[0](h, mlp["up.bias"])
    else:
        h, c_up = linear_forward(h, mlp, "up", run)
        h, c_activation = run.ops.ACTIVATIONS[c.activation][0](h)
    h, c_inner = run.ops.dropout_forward(h, c.activation_dropout, run.dropout_key(site + 1))
    total, c_down, c_dropout = _joined(x, h, mlp, "down", c.dropout, run.dropout_key(site), run)
    total, c_norm = _ended(total, c_norm, p, "norm2", c, run)
    return total, SublayerCache(c_norm, MLPCache(c_up, c_activation, c_inner, c_down, c_dropout))


def mlp_sublayer_backward(dx: Array, cache: SublayerCache[MLPCache], g: Scope, c: BlockConfig, run: Run) -> Array:
    dx = dx if c.pre_norm else norm_backward(dx, cache.norm, g, "norm2", c, run)
    mlp, c_mlp = g.scope("mlp"), cache.inner
    if fused := _biased_activation(c, run):
        dh = run.ops.dropout_backward(dx, c_mlp.dropout)
        dh = linear_backward(dh, c_mlp.down, mlp, "down", run)
        dh = run.ops.dropout_backward(dh, c_mlp.activation_dropout)
        dh = fused[1](dh, c_mlp.activation, mlp.into("up.bias"))
        dweight, first = mlp.claim("up.weight")
        dh = run.ops.linear_backward(dh, c_mlp.up, dweight, None, first=first)
    else:
        dh = mlp_backward(dx, c_mlp, mlp, c, run)
    return _begun_backward(dx, dh, cache.norm, g, "norm2", c, run)


def settled(x: Array | Sum, run: Run) -> Array:
    """A residual sum as an array, for whoever reads it without a norm."""
    return run.ops.FUSED["settled_sum"](x) if isinstance(x, Sum) else x


def _begun(x: Array | Sum, p: Scope, norm: str, c: BlockConfig, run: Run) -> tuple[Array, Array, Cache]:
    """The residual stream, what the sub-layer reads of it, and the norm's cache where it stands before (pre-norm)."""
    if c.pre_norm:
        return _sum_norm_forward(x, p, norm, c, run)
    x = settled(x, run)
    return x, x, None


def _begun_backward(dx: Array, dh: Array, c_norm: Cache, g: Scope, norm: str, c: BlockConfig, run: Run) -> Array:
    """dx past the sub-layer, plus what came through it; one operation where the norm's gradient is added by itself."""
    if not c.pre_norm:
        return run.ops.add(dx, dh)
    if fused := run.ops.FUSED.get("norm_backward_add"):
        dbias = g.into(f"{norm}.bias") if f"{norm}.bias" in g else None
        return fused(dh, c_norm, g.into(f"{norm}.gain"), dbias, dx)
    return run.ops.add(dx, norm_backward(dh, c_norm, g, norm, c, run))


def _attention(
    q: Array, k: Array, v: Array, c: BlockConfig, run: Run, site: int, mask: Mask, kept: AttentionResults | None
) -> tuple[Array, Cache]:
    """Attention's output (B, T, H·D), made or kept."""
    if kept is not None:
        y, cache = kept.y, run.ops.attention_cache(q, k, v, kept.results)
    else:
        rate, key = c.attention_dropout, run.dropout_key(site)
        y, cache = run.ops.attention_forward(q, k, v, mask=mask, scale=c.scale, dropout=rate, key=key)
    return y.reshape(*y.shape[:2], c.heads * c.head_width), cache


def _joined(
    onto: Array, x: Array, p: Scope, name: str, rate: float, key: DropoutKey | None, run: Run
) -> tuple[Array | Sum, Cache, Cache]:
    """onto + dropout(x W + b). The caches are those of the linear layer and of dropout."""
    if fused := run.ops.FUSED.get("sum"):
        y, c_linear = run.ops.linear_forward(x, p[f"{name}.weight"])
        total, c_dropout = fused(y, p.get(f"{name}.bias"), onto, rate, key)
        return total, c_linear, c_dropout
    y, c_linear = linear_forward(x, p, name, run)
    y, c_dropout = run.ops.dropout_forward(y, rate, key)
    return run.ops.add(onto, y), c_linear, c_dropout


def _ended(
    total: Array | Sum, c_norm: Cache, p: Scope, norm: str, c: BlockConfig, run: Run
) -> tuple[Array | Sum, Cache]:
    """A sub-layer's sum, with its norm where that stands behind it (post-norm); and the norm's cache."""
    if c.pre_norm:
        return total, c_norm
    _, y, c_norm = _sum_norm_forward(total, p, norm, c, run)
    return y, c_norm


def _sum_norm_forward(x: Array | Sum, p: Scope, name: str, c: BlockConfig, run: Run) -> tuple[Array, Array, Cache]:
    """A residual sum x, norm(x), and the norm's cache."""
    if not isinstance(x, Sum):
        return x, *norm_forward(x, p, name, c, run)
    if c.rms_norm:
        return run.ops.FUSED["rmsnorm_sum"](x, p[f"{name}.gain"], eps=c.norm_eps)
    return run.ops.FUSED["layernorm_sum"](x, p[f"{name}.gain"], p.get(f"{name}.bias"), eps=c.norm_eps)


def _biased_activation(c: BlockConfig, run: Run) -> Any:
    """The activation's forward and backward pass together with the bias before it, where these are one."""
    return run.ops.FUSED.get(f"bias_{c.activation}") if c.bias else None
