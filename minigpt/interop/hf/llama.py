"""llama: `LlamaForCausalLM`. Its linear layers are (out, in); gate and up are apart, as are q, k and v."""

from __future__ import annotations

from typing import Any

from minigpt.backend import Array
from minigpt.interop.hf.family import Family
from minigpt.interop.tables import Table, View, as_is, fused, linear, norm, transposed

PREFIX = "model."


def table(model: Any) -> Table:
    """The naming table (see `minigpt.interop.tables`); a tied output layer is not named."""
    c = model.config
    names: Table = {f"{PREFIX}embed_tokens.weight": ("tokens", as_is)}
    for layer in range(c.layers):
        names |= _block(f"{PREFIX}layers.{layer}", f"blocks.{layer}", c)
    names |= norm(f"{PREFIX}norm", "final_norm", bias=False)
    return names if c.tied else names | {"lm_head.weight": ("output", transposed)}


def _block(theirs: str, ours: str, c: Any) -> Table:
    q, kv = c.heads * c.head_width, c.kv_heads * c.head_width
    names = norm(f"{theirs}.input_layernorm", f"{ours}.norm1", bias=False)
    attention = fused(
        {f"{theirs}.self_attn.{n}_proj": w for n, w in (("q", q), ("k", kv), ("v", kv))},
        f"{ours}.attention.qkv",
        bias=False,
    )
    if c.rope_layout == "interleaved":
        for n in "qk":
            name = f"{theirs}.self_attn.{n}_proj.weight"
            source, columns = attention[name]
            attention[name] = source, _halves_first(columns, c.head_width)
    names |= attention
    names |= linear(f"{theirs}.self_attn.o_proj", f"{ours}.attention.out", bias=False)
    names |= norm(f"{theirs}.post_attention_layernorm", f"{ours}.norm2", bias=False)
    gate_and_up = {f"{theirs}.mlp.{n}_proj": c.feed_forward for n in ("gate", "up")}
    names |= fused(gate_and_up, f"{ours}.mlp.up", bias=False)
    return names | linear(f"{theirs}.mlp.down_proj", f"{ours}.mlp.down", bias=False)


def _halves_first(columns: View, head_width: int) -> View:
    """Rows x₀, y₀, x₁, y₁, … of each head (Meta's layout) in the order x₀, x₁, …, y₀, y₁, … (theirs).

    The one copy among the views: no strides hold such rows. So a model of this layout can be written from it but not
    read into it; what is read from their folders has their layout.
    """

    def view(x: Array) -> Array:
        rows = columns(x)  # (H·D, C)
        return rows.reshape(-1, head_width // 2, 2, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)

    return view


FAMILY = Family(model_type="llama", family="llama", table=table, prefix=PREFIX)
