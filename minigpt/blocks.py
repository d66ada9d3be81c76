"""The Transformer block: attention and a feed-forward layer, each with a residual connection and a norm.

Every forward function stands beside its mirror image. `p` and `g` are the block's parameters and gradients under
their local names; sites number the places where dropout draws, so that no two of them share a draw.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minigpt import ops
from minigpt.backend import Array
from minigpt.params import Parameters, ParameterSpec, Scope
from minigpt.run import Run

SITES_PER_BLOCK = 3  # attention probabilities, attention output, feed-forward output


def linear_specs(name: str, inputs: int, outputs: int, *, std: float, bias: bool) -> list[ParameterSpec]:
    specs = [ParameterSpec(f"{name}.weight", (inputs, outputs), std)]
    return [*specs, ParameterSpec(f"{name}.bias", (outputs,))] if bias else specs


def norm_specs(name: str, width: int, *, bias: bool) -> list[ParameterSpec]:
    specs = [ParameterSpec(f"{name}.gain", (width,), mean=1.0)]
    return [*specs, ParameterSpec(f"{name}.bias", (width,))] if bias else specs


def block_specs(name: str, config: Any) -> list[ParameterSpec]:
    """The tensors of one block; `config` has the fields of `GPTConfig`."""
    c, std, bias = config.width, config.init_std, config.bias
    residual_std = std * config.residual_init_scale  # of the two projections that write into the residual stream
    return [
        *norm_specs(f"{name}.norm1", c, bias=bias),
        *linear_specs(f"{name}.attention.qkv", c, 3 * c, std=std, bias=bias),
        *linear_specs(f"{name}.attention.out", c, c, std=residual_std, bias=bias),
        *norm_specs(f"{name}.norm2", c, bias=bias),
        *linear_specs(f"{name}.mlp.up", c, config.feed_forward, std=std, bias=bias),
        *linear_specs(f"{name}.mlp.down", config.feed_forward, c, std=residual_std, bias=bias),
    ]


def linear_forward(x: Array, p: Scope, name: str, run: Run) -> tuple[Array, Any]:
    return run.ops.linear_forward(x, p[f"{name}.weight"], p.get(f"{name}.bias"))


def linear_backward(dy: Array, cache: Any, g: Scope, name: str, run: Run) -> Array:
    return run.ops.linear_backward(dy, cache, g[f"{name}.weight"], g.get(f"{name}.bias"))


def norm_forward(x: Array, p: Scope | Parameters, name: str, eps: float, run: Run) -> tuple[Array, Any]:
    return run.ops.layernorm_forward(x, p[f"{name}.gain"], p.get(f"{name}.bias"), eps=eps)


def norm_backward(dy: Array, cache: Any, g: Scope | Parameters, name: str, run: Run) -> Array:
    return run.ops.layernorm_backward(dy, cache, g[f"{name}.gain"], g.get(f"{name}.bias"))


def split_heads(qkv: Array, heads: int, kv_heads: int) -> tuple[Array, Array, Array]:
    """View (B, T, (H+2G)·D) as q (B, T, H, D), k and v (B, T, G, D), without a copy."""
    b, t, c = qkv.shape
    x = qkv.reshape(b, t, heads + 2 * kv_heads, c // (heads + 2 * kv_heads))
    return x[:, :, :heads], x[:, :, heads : heads + kv_heads], x[:, :, heads + kv_heads :]


class SelfAttentionCache(NamedTuple):
    qkv: Any
    attention: Any
    out: Any
    dropout: Any


def self_attention_forward(
    x: Array, p: Scope, config: Any, run: Run, site: int, mask: ops.Mask
) -> tuple[Array, SelfAttentionCache]:
    """One fused projection to q, k and v, attention, and the output projection: (B, T, C) to (B, T, C)."""
    qkv, c_qkv = linear_forward(x, p, "qkv", run)  # (B, T, 3C)
    q, k, v = split_heads(qkv, config.heads, config.heads)
    y, c_attention = run.ops.attention_forward(q, k, v, mask=mask, dropout=config.dropout, key=run.dropout_key(site))
    y, c_out = linear_forward(y.reshape(x.shape), p, "out", run)
    y, c_dropout = run.ops.dropout_forward(y, config.dropout, run.dropout_key(site + 1))
    return y, SelfAttentionCache(c_qkv, c_attention, c_out, c_dropout)


def self_attention_backward(dy: Array, cache: SelfAttentionCache, g: Scope, config: Any, run: Run) -> Array:
    dy = run.ops.dropout_backward(dy, cache.dropout)
    dy = linear_backward(dy, cache.out, g, "out", run)
    b, t, c = dy.shape
    dqkv = run.ops.empty((b, t, 3 * c), like=dy)
    run.ops.attention_backward(
        dy.reshape(b, t, config.heads, c // config.heads),
        cache.attention,
        out=split_heads(dqkv, config.heads, config.heads),  # dq, dk and dv are written side by side
    )
    return linear_backward(dqkv, cache.qkv, g, "qkv", run)


class MLPCache(NamedTuple):
    up: Any
    activation: Any
    down: Any
    dropout: Any


def mlp_forward(x: Array, p: Scope, config: Any, run: Run, site: int) -> tuple[Array, MLPCache]:
    """Two linear layers with the activation between them: (B, T, C) to (B, T, F) to (B, T, C)."""
    activation_forward, _ = run.ops.ACTIVATIONS[config.activation]
    h, c_up = linear_forward(x, p, "up", run)  # (B, T, F)
    h, c_activation = activation_forward(h)
    y, c_down = linear_forward(h, p, "down", run)  # (B, T, C)
    y, c_dropout = run.ops.dropout_forward(y, config.dropout, run.dropout_key(site))
    return y, MLPCache(c_up, c_activation, c_down, c_dropout)


def mlp_backward(dy: Array, cache: MLPCache, g: Scope, config: Any, run: Run) -> Array:
    _, activation_backward = run.ops.ACTIVATIONS[config.activation]
    dy = run.ops.dropout_backward(dy, cache.dropout)
    dh = linear_backward(dy, cache.down, g, "down", run)
    dh = activation_backward(dh, cache.activation)
    return linear_backward(dh, cache.up, g, "up", run)


class BlockCache(NamedTuple):
    norm1: Any
    attention: Any
    norm2: Any
    mlp: Any


def block_forward(x: Array, p: Scope, config: Any, run: Run, site: int, mask: ops.Mask) -> tuple[Array, BlockCache]:
    """Pre-norm (GPT-2): x + f(norm(x)). Post-norm (GPT): norm(x + f(x)). First f is attention, then the MLP."""
    attention, mlp, eps = p.scope("attention"), p.scope("mlp"), config.norm_eps
    if config.norm == "pre":
        h, c_norm1 = norm_forward(x, p, "norm1", eps, run)
        a, c_attention = self_attention_forward(h, attention, config, run, site, mask)
        x = run.ops.add(x, a)
        h, c_norm2 = norm_forward(x, p, "norm2", eps, run)
        m, c_mlp = mlp_forward(h, mlp, config, run, site + 2)
        x = run.ops.add(x, m)
    else:
        a, c_attention = self_attention_forward(x, attention, config, run, site, mask)
        x, c_norm1 = norm_forward(run.ops.add(x, a), p, "norm1", eps, run)
        m, c_mlp = mlp_forward(x, mlp, config, run, site + 2)
        x, c_norm2 = norm_forward(run.ops.add(x, m), p, "norm2", eps, run)
    return x, BlockCache(c_norm1, c_attention, c_norm2, c_mlp)


def block_backward(dx: Array, cache: BlockCache, g: Scope, config: Any, run: Run) -> Array:
    """The same lines from the last to the first; at every sum the gradient flows into both summands."""
    attention, mlp = g.scope("attention"), g.scope("mlp")
    if config.norm == "pre":
        dh = mlp_backward(dx, cache.mlp, mlp, config, run)  # x + m
        dx = run.ops.add(dx, norm_backward(dh, cache.norm2, g, "norm2", run))
        dh = self_attention_backward(dx, cache.attention, attention, config, run)  # x + a
        return run.ops.add(dx, norm_backward(dh, cache.norm1, g, "norm1", run))
    dx = norm_backward(dx, cache.norm2, g, "norm2", run)
    dx = run.ops.add(dx, mlp_backward(dx, cache.mlp, mlp, config, run))  # x + m
    dx = norm_backward(dx, cache.norm1, g, "norm1", run)
    return run.ops.add(dx, self_attention_backward(dx, cache.attention, attention, config, run))  # x + a
