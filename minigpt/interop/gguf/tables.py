"""The names of GGUF's tensors, as views of ours. Matrices are (out, in); llama has q, k, v, gate and up apart."""

from __future__ import annotations

from typing import Any

from minigpt.interop.llama2c import interleaved
from minigpt.interop.tables import Table, as_is, columns, linear, norm, transposed


def llama_table(c: Any) -> Table:
    """In each head the numbers of a pair stand side by side, as Meta keeps them; in qwen2 half a head apart."""
    q, kv, f = c.heads * c.head_width, c.kv_heads * c.head_width, c.feed_forward
    views = {"attn_q": columns(0, q), "attn_k": columns(q, q + kv)}
    biased = c.attention_bias == "qkv"
    if c.rope_layout == "half" and not biased:
        views = {name: interleaved(view, c.head_width) for name, view in views.items()}
    rows: Table = {"token_embd.weight": ("tokens", as_is)} | norm("output_norm", "final_norm", bias=False)
    for layer in range(c.layers):
        theirs, ours = f"blk.{layer}", f"blocks.{layer}"
        rows |= norm(f"{theirs}.attn_norm", f"{ours}.norm1", bias=False)
        rows |= norm(f"{theirs}.ffn_norm", f"{ours}.norm2", bias=False)
        views |= {"attn_v": columns(q + kv, q + 2 * kv)}
        for part in ("weight", "bias")[: 1 + biased]:
            rows |= {f"{theirs}.{name}.{part}": (f"{ours}.attention.qkv.{part}", view) for name, view in views.items()}
        rows |= linear(f"{theirs}.attn_output", f"{ours}.attention.out", bias=False)
        rows[f"{theirs}.ffn_gate.weight"] = f"{ours}.mlp.up.weight", columns(0, f)
        rows[f"{theirs}.ffn_up.weight"] = f"{ours}.mlp.up.weight", columns(f, 2 * f)
        rows |= linear(f"{theirs}.ffn_down", f"{ours}.mlp.down", bias=False)
    return rows if c.tied else rows | {"output.weight": ("output", transposed)}


def gpt2_table(c: Any) -> Table:
    rows: Table = {"token_embd.weight": ("tokens", as_is), "position_embd.weight": ("positions", as_is)}
    rows |= norm("output_norm", "final_norm")
    for layer in range(c.layers):
        theirs, ours = f"blk.{layer}", f"blocks.{layer}"
        rows |= norm(f"{theirs}.attn_norm", f"{ours}.norm1") | norm(f"{theirs}.ffn_norm", f"{ours}.norm2")
        rows |= linear(f"{theirs}.attn_qkv", f"{ours}.attention.qkv")
        rows |= linear(f"{theirs}.attn_output", f"{ours}.attention.out")
        rows |= linear(f"{theirs}.ffn_up", f"{ours}.mlp.up") | linear(f"{theirs}.ffn_down", f"{ours}.mlp.down")
    return rows if c.tied else rows | {"output.weight": ("output", transposed)}


TABLES = {"llama": llama_table, "qwen2": llama_table, "gpt2": gpt2_table}
