"""The decoder block one step at a time: new tokens only; the caller keeps the keys and values of all before.

What comes out is what the block's forward function gives for the same tokens at the end of a longer text. There is no
dropout and no backward pass: this is for writing.
"""

from __future__ import annotations

from collections.abc import Callable

from minigpt import ops
from minigpt.blocks.attention import qkv_forward
from minigpt.blocks.config import BlockConfig
from minigpt.blocks.fused import mlp_sublayer_forward, settled
from minigpt.blocks.layers import linear_forward, norm_forward
from minigpt.blocks.run import Run
from minigpt.core.backend import Array
from minigpt.core.params import Scope

Append = Callable[[Array, Array], tuple[Array, Array]]
_CAUSAL = ops.Mask(causal=True)


def self_attention_step(
    x: Array, p: Scope, c: BlockConfig, run: Run, append: Append, mask: ops.Mask, positions: int | Array
) -> Array:
    """n new tokens (R, n, C) look at themselves and all before.

    Args:
        append: keeps the new keys and values (R, n, G, D) and returns all of them so far, (R, S, G, D).
        positions: see `qkv_forward`.
    """
    (q, k, v), _ = qkv_forward(x, p, c, run, positions)
    k, v = append(k, v)
    y, _ = run.ops.attention_forward(q, k, v, mask=mask, scale=c.scale)  # the queries are the last n of S
    return linear_forward(y.reshape(*x.shape[:2], c.heads * c.head_width), p, "out", run)[0]


def cross_attention_step(
    x: Array, memory: tuple[Array, Array], p: Scope, c: BlockConfig, run: Run, mask: ops.Mask
) -> Array:
    """n new tokens (R, n, C) look at the memory, of which k and v (R, S, G, D) were made once."""
    q, _ = linear_forward(x, p, "q", run)
    q = q.reshape(*x.shape[:2], c.heads, c.head_width)
    y, _ = run.ops.attention_forward(q, *memory, mask=mask, scale=c.scale)
    return linear_forward(y.reshape(*x.shape[:2], c.heads * c.head_width), p, "out", run)[0]


def block_step(
    x: Array,
    p: Scope,
    c: BlockConfig,
    run: Run,
    append: Append,
    mask: ops.Mask = _CAUSAL,
    positions: int | Array = 0,
    memory: tuple[Array, Array] | None = None,
    memory_mask: ops.Mask = ops.NO_MASK,
) -> Array:
    """`block_forward` for n new tokens (R, n, C); `memory` (post-norm blocks have one) are its keys and values."""
    attention = p.scope("attention")
    if c.pre_norm:
        h, _ = norm_forward(x, p, "norm1", c, run)
        x = run.ops.add(x, self_attention_step(h, attention, c, run, append, mask, positions))
    else:
        a = self_attention_step(x, attention, c, run, append, mask, positions)
        x, _ = norm_forward(run.ops.add(x, a), p, "norm1", c, run)
    if memory is not None:
        a = cross_attention_step(x, memory, p.scope("cross"), c, run, memory_mask)
        x, _ = norm_forward(run.ops.add(x, a), p, "norm_cross", c, run)
    return settled(mlp_sublayer_forward(x, p, c, run, 0)[0], run)
