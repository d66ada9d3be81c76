"""The names of GGUF's settings, and of its tensors, as views of ours.

Matrices are (out, in); llama has q, k, v, gate and up apart.
"""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf.fields import count, depth
from minigpt.interop.llama2c import interleaved
from minigpt.interop.tables import Table, as_is, layers, linear, llama_layer, norm, transposed

# The settings that both architectures have.
SHAPE = (
    count("context", "context_length"),
    count("width", "embedding_length"),
    depth("layers", "block_count"),
    count("feed_forward", "feed_forward_length"),
    count("heads", "attention.head_count"),
)
LLAMA = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")
GPT2 = norm("attn_norm", "norm1") | norm("ffn_norm", "norm2") | linear("attn_qkv", "attention.qkv")
GPT2 |= linear("attn_output", "attention.out") | linear("ffn_up", "mlp.up") | linear("ffn_down", "mlp.down")


def llama_table(c: Any) -> Table:
    """In each head the numbers of a pair stand side by side, as Meta keeps them; in qwen2 half a head apart."""
    turn = interleaved if c.rope_layout == "half" and c.attention_bias != "qkv" else None
    rows: Table = {"token_embd.weight": ("tokens", as_is)} | norm("output_norm", "final_norm", bias=False)
    return rows | layers(llama_layer(c, LLAMA, turn), "blk", c.layers) | _output(c)


def gpt2_table(c: Any) -> Table:
    rows: Table = {"token_embd.weight": ("tokens", as_is), "position_embd.weight": ("positions", as_is)}
    return rows | norm("output_norm", "final_norm") | layers(GPT2, "blk", c.layers) | _output(c)


def _output(c: Any) -> Table:
    return {} if c.tied else {"output.weight": ("output", transposed)}


TABLES = {"llama": llama_table, "qwen2": llama_table, "gpt2": gpt2_table}
