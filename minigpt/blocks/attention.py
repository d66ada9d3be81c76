"""Attention with its projections: over the sequence itself, and over another one (an encoder's output)."""

from __future__ import annotations

from typing import NamedTuple

from minigpt.blocks.config import BlockConfig
from minigpt.blocks.layers import linear_backward, linear_forward, linear_specs
from minigpt.blocks.run import Run
from minigpt.core.backend import Array
from minigpt.core.params import ParameterSpec, Scope
from minigpt.ops import Cache, Mask


def self_attention_specs(name: str, c: BlockConfig) -> list[ParameterSpec]:
    """One fused projection to q, k and v, (C, (H+2G)·D), and the output projection, (H·D, C)."""
    qkv, out = bool(c.qkv_bias), bool(c.out_bias)
    return [
        *linear_specs(f"{name}.qkv", c.width, (c.heads + 2 * c.kv_heads) * c.head_width, std=c.init_std, bias=qkv),
        *linear_specs(f"{name}.out", c.heads * c.head_width, c.width, std=c.residual_std, bias=out),
    ]


def split_heads(x: Array, *heads: int) -> tuple[Array, ...]:
    """View (B, T, (H₁+H₂+…)·D) as (B, T, H₁, D), (B, T, H₂, D), …, without a copy."""
    b, t, c = x.shape
    x = x.reshape(b, t, sum(heads), c // sum(heads))
    ends = [sum(heads[: i + 1]) for i in range(len(heads))]
    return tuple(x[:, :, end - n : end] for n, end in zip(heads, ends, strict=True))


class QKVCache(NamedTuple):
    linear: Cache
    rope: Cache


def qkv_forward(
    x: Array, p: Scope, c: BlockConfig, run: Run, positions: int | Array = 0
) -> tuple[tuple[Array, Array, Array], QKVCache]:
    """Project x (B, T, C) to q (B, T, H, D), k and v (B, T, G, D); with rotary positions, turn q and k.

    Args:
        positions: of x's first column, or of every token, (B, T); only rotary positions look at them.
    """
    qkv, c_linear = linear_forward(x, p, "qkv", run)  # (B, T, (H+2G)·D)
    c_rope = None
    if c.rope is not None:
        qk, _ = split_heads(qkv, c.heads + c.kv_heads, c.kv_heads)
        _, c_rope = run.ops.rope_forward(qk, c.rope, positions=positions, out=qk)  # qkv is ours: turned in place
    q, k, v = split_heads(qkv, c.heads, c.kv_heads, c.kv_heads)
    return (q, k, v), QKVCache(c_linear, c_rope)


class SelfAttentionCache(NamedTuple):
    qkv: QKVCache
    attention: Cache
    out: Cache
    dropout: Cache


def self_attention_forward(
    x: Array, p: Scope, c: BlockConfig, run: Run, site: int, mask: Mask, positions: int | Array = 0
) -> tuple[Array, SelfAttentionCache]:
    """q, k and v, attention, and the output projection: (B, T, C) to (B, T, C)."""
    (q, k, v), c_qkv = qkv_forward(x, p, c, run, positions)
    rate, key = c.attention_dropout, run.dropout_key(site)
    y, c_attention = run.ops.attention_forward(q, k, v, mask=mask, scale=c.scale, dropout=rate, key=key)
    y, c_out = linear_forward(y.reshape(*x.shape[:2], c.heads * c.head_width), p, "out", run)
    y, c_dropout = run.ops.dropout_forward(y, c.dropout, run.dropout_key(site + 1))
    return y, SelfAttentionCache(c_qkv, c_attention, c_out, c_dropout)


def self_attention_backward(dy: Array, cache: SelfAttentionCache, g: Scope, c: BlockConfig, run: Run) -> Array:
    b, t, _ = dy.shape
    dy = run.ops.dropout_backward(dy, cache.dropout)
    dy = linear_backward(dy, cache.out, g, "out", run)
    dqkv = run.ops.empty((b, t, (c.heads + 2 * c.kv_heads) * c.head_width), like=dy)
    dq, dk, dv = split_heads(dqkv, c.heads, c.kv_heads, c.kv_heads)  # side by side in one array
    run.ops.attention_backward(dy.reshape(b, t, c.heads, c.head_width), cache.attention, out=(dq, dk, dv))
    if c.rope is not None:
        dqk, _ = split_heads(dqkv, c.heads + c.kv_heads, c.kv_heads)
        run.ops.rope_backward(dqk, cache.qkv.rope, out=dqk)  # turned back in place
    return linear_backward(dqkv, cache.qkv.linear, g, "qkv", run)


def cross_attention_specs(name: str, c: BlockConfig) -> list[ParameterSpec]:
    """q from the sequence, (C, H·D); k and v from the other one, fused, (C, 2G·D); the output, (H·D, C)."""
    qkv, out = bool(c.qkv_bias), bool(c.out_bias)
    return [
        *linear_specs(f"{name}.q", c.width, c.heads * c.head_width, std=c.init_std, bias=qkv),
        *linear_specs(f"{name}.kv", c.width, 2 * c.kv_heads * c.head_width, std=c.init_std, bias=qkv),
        *linear_specs(f"{name}.out", c.heads * c.head_width, c.width, std=c.residual_std, bias=out),
    ]


def memory_kv_forward(memory: Array, p: Scope, c: BlockConfig, run: Run) -> tuple[tuple[Array, Array], Cache]:
    """Project the memory (B, S, C) to k and v (B, S, G, D). They are the same for every token that is generated."""
    kv, cache = linear_forward(memory, p, "kv", run)  # (B, S, 2G·D)
    k, v = split_heads(kv, c.kv_heads, c.kv_heads)
    return (k, v), cache


class Memory(NamedTuple):
    """What a decoder's blocks look at besides the sequence: an encoder's output, the same for all of them."""

    states: Array  # (B, S, C)
    mask: Mask  # of cross-attention: the memory's padding


class CrossAttentionCache(NamedTuple):
    q: Cache
    kv: Cache
    attention: Cache
    out: Cache
    dropout: Cache


def cross_attention_forward(
    x: Array, memory: Memory, p: Scope, c: BlockConfig, run: Run, site: int
) -> tuple[Array, CrossAttentionCache]:
    """Every position of x (B, T, C) looks at all of the memory (B, S, C) that its mask allows: (B, T, C)."""
    b, t, _ = x.shape
    q, c_q = linear_forward(x, p, "q", run)  # (B, T, H·D)
    (k, v), c_kv = memory_kv_forward(memory.states, p, c, run)
    q, rate, key = q.reshape(b, t, c.heads, c.head_width), c.attention_dropout, run.dropout_key(site)
    y, c_attention = run.ops.attention_forward(q, k, v, mask=memory.mask, scale=c.scale, dropout=rate, key=key)
    y, c_out = linear_forward(y.reshape(b, t, c.heads * c.head_width), p, "out", run)
    y, c_dropout = run.ops.dropout_forward(y, c.dropout, run.dropout_key(site + 1))
    return y, CrossAttentionCache(c_q, c_kv, c_attention, c_out, c_dropout)


def cross_attention_backward(
    dy: Array, cache: CrossAttentionCache, g: Scope, c: BlockConfig, run: Run, dmemory: Array
) -> Array:
    """Return dx (B, T, C), and add the memory's gradient into `dmemory` (B, S, C), which all layers share."""
    (b, t, _), s = dy.shape, dmemory.shape[1]
    dy = run.ops.dropout_backward(dy, cache.dropout)
    dy = linear_backward(dy, cache.out, g, "out", run)
    dq = run.ops.empty((b, t, c.heads * c.head_width), like=dy)
    dkv = run.ops.empty((b, s, 2 * c.kv_heads * c.head_width), like=dy)
    dk, dv = split_heads(dkv, c.kv_heads, c.kv_heads)  # side by side in one array
    heads = (b, t, c.heads, c.head_width)
    run.ops.attention_backward(dy.reshape(heads), cache.attention, out=(dq.reshape(heads), dk, dv))
    dmemory += linear_backward(dkv, cache.kv, g, "kv", run)  # (B, S, 2G·D) to (B, S, C)
    return linear_backward(dq, cache.q, g, "q", run)
