"""The smallest pieces of a block: linear layers, norms, and the feed-forward layer."""

from __future__ import annotations

from typing import NamedTuple

from minigpt.blocks.config import BlockConfig
from minigpt.blocks.run import Run
from minigpt.core.backend import Array
from minigpt.core.params import ParameterSpec, Scope
from minigpt.ops import Cache


def linear_specs(name: str, inputs: int, outputs: int, *, std: float, bias: bool) -> list[ParameterSpec]:
    specs = [ParameterSpec(f"{name}.weight", (inputs, outputs), std)]
    return [*specs, ParameterSpec(f"{name}.bias", (outputs,))] if bias else specs


def linear_forward(x: Array, p: Scope, name: str, run: Run) -> tuple[Array, Cache]:
    return run.ops.linear_forward(x, p[f"{name}.weight"], p.get(f"{name}.bias"))


def linear_backward(dy: Array, cache: Cache, g: Scope, name: str, run: Run) -> Array:
    dweight, first = g.claim(f"{name}.weight")
    dbias = g.into(f"{name}.bias") if f"{name}.bias" in g else None
    return run.ops.linear_backward(dy, cache, dweight, dbias, first=first)


def norm_specs(name: str, c: BlockConfig) -> list[ParameterSpec]:
    specs = [ParameterSpec(f"{name}.gain", (c.width,), mean=1.0)]
    return [*specs, ParameterSpec(f"{name}.bias", (c.width,))] if c.bias and not c.rms_norm else specs


def norm_forward(x: Array, p: Scope, name: str, c: BlockConfig, run: Run) -> tuple[Array, Cache]:
    if c.rms_norm:
        return run.ops.rmsnorm_forward(x, p[f"{name}.gain"], eps=c.norm_eps)
    return run.ops.layernorm_forward(x, p[f"{name}.gain"], p.get(f"{name}.bias"), eps=c.norm_eps)


def norm_backward(dy: Array, cache: Cache, g: Scope, name: str, c: BlockConfig, run: Run) -> Array:
    if c.rms_norm:
        return run.ops.rmsnorm_backward(dy, cache, g.into(f"{name}.gain"))
    dbias = g.into(f"{name}.bias") if f"{name}.bias" in g else None
    return run.ops.layernorm_backward(dy, cache, g.into(f"{name}.gain"), dbias)


class MLPCache(NamedTuple):
    up: Cache
    activation: Cache
    activation_dropout: Cache
    down: Cache
    dropout: Cache


def mlp_specs(name: str, c: BlockConfig) -> list[ParameterSpec]:
    """`up` of SwiGLU holds the gate and what it lets through side by side, (C, 2F)."""
    up = 2 * c.feed_forward if c.activation == "swiglu" else c.feed_forward
    return [
        *linear_specs(f"{name}.up", c.width, up, std=c.init_std, bias=c.bias),
        *linear_specs(f"{name}.down", c.feed_forward, c.width, std=c.residual_std, bias=c.bias),
    ]


def mlp_forward(x: Array, p: Scope, c: BlockConfig, run: Run, site: int) -> tuple[Array, MLPCache]:
    """Two linear layers with the activation between them: (B, T, C) to (B, T, F) to (B, T, C)."""
    activation_forward, _ = run.ops.ACTIVATIONS[c.activation]
    h, c_up = linear_forward(x, p, "up", run)  # (B, T, F); SwiGLU: [gate | up], (B, T, 2F)
    h, c_activation = activation_forward(h)  # (B, T, F)
    h, c_inner = run.ops.dropout_forward(h, c.activation_dropout, run.dropout_key(site + 1))
    y, c_down = linear_forward(h, p, "down", run)  # (B, T, C)
    y, c_dropout = run.ops.dropout_forward(y, c.dropout, run.dropout_key(site))
    return y, MLPCache(c_up, c_activation, c_inner, c_down, c_dropout)


def mlp_backward(dy: Array, cache: MLPCache, g: Scope, c: BlockConfig, run: Run) -> Array:
    _, activation_backward = run.ops.ACTIVATIONS[c.activation]
    dy = run.ops.dropout_backward(dy, cache.dropout)
    dh = linear_backward(dy, cache.down, g, "down", run)
    dh = run.ops.dropout_backward(dh, cache.activation_dropout)
    dh = activation_backward(dh, cache.activation)
    return linear_backward(dh, cache.up, g, "up", run)
