"""The names of GGUF's settings, and of its tensors, as views of ours.

Matrices are (out, in); llama has q, k, v, gate and up apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigpt.interop.hf.fields import Field, count, depth
from minigpt.interop.keys import Keys
from minigpt.interop.llama2c import interleaved
from minigpt.interop.tables import Table, as_is, layers, linear, llama_layer, norm, transposed


def single(keys: Keys, name: str, default: float | None = None) -> float:
    """A float32 in the file; the decimal number that it was made from, if that is short."""
    return float(str(np.float32(keys.number(name, default))))


SHAPE = (
    count("context", "context_length"),
    count("width", "embedding_length"),
    depth("layers", "block_count"),
    count("feed_forward", "feed_forward_length"),
    count("heads", "attention.head_count"),
)
# What each architecture says of a model, besides how many tokens there are.
_LLAMA = (
    *SHAPE,
    count("kv_heads", "attention.head_count_kv", 0, least=0),
    count("head_width", "attention.key_length", 0, least=0),
    Field("norm_eps", "attention.layer_norm_rms_epsilon", single),
    Field("rope_base", "rope.freq_base", single, 10000.0),
)
_GPT2 = (*SHAPE, Field("norm_eps", "attention.layer_norm_epsilon", single))
FIELDS = {"llama": _LLAMA, "qwen2": _LLAMA, "gpt2": _GPT2}
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
