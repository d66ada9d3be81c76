"""Hugging Face's names and layouts for our parameters, or for anything shaped like them, such as gradients.

GPT and GPT-2 keep their matrices as (in, out) there too (`Conv1D`), so tensors carry over as they are. A tied output
matrix is stored once.
"""

from __future__ import annotations

from typing import Any

from minigpt.backend import Array
from minigpt.errors import UserError
from minigpt.params import Parameters

_LAYER = {
    "norm1.gain": "ln_1.weight",
    "norm1.bias": "ln_1.bias",
    "attention.qkv.weight": "attn.c_attn.weight",
    "attention.qkv.bias": "attn.c_attn.bias",
    "attention.out.weight": "attn.c_proj.weight",
    "attention.out.bias": "attn.c_proj.bias",
    "norm2.gain": "ln_2.weight",
    "norm2.bias": "ln_2.bias",
    "mlp.up.weight": "mlp.c_fc.weight",
    "mlp.up.bias": "mlp.c_fc.bias",
    "mlp.down.weight": "mlp.c_proj.weight",
    "mlp.down.bias": "mlp.c_proj.bias",
}
_GPT2 = {
    "tokens": "wte.weight",
    "positions": "wpe.weight",
    "final_norm.gain": "ln_f.weight",
    "final_norm.bias": "ln_f.bias",
}
_GPT = {"tokens": "tokens_embed.weight", "positions": "positions_embed.weight"}


def _hf_name(name: str, outer: dict[str, str]) -> str:
    if name in outer:
        return f"transformer.{outer[name]}"
    _, layer, local = name.split(".", 2)  # blocks.3.mlp.up.weight
    return f"transformer.h.{layer}.{_LAYER[local]}"


def to_state_dict(model: Any, tree: Parameters) -> dict[str, Array]:
    """Name the tensors of `tree` as `OpenAIGPTLMHeadModel` (post-norm) or `GPT2LMHeadModel` (pre-norm) does.

    Raises:
        UserError: those classes cannot express the model: they always have biases, attend densely and use GELU in its
            tanh form.
    """
    c = model.config
    for problem, found in [
        ("no biases", not c.bias),
        (f"banded attention (window {c.window})", c.window),
        (f"the activation {c.activation}", c.activation != "gelu_tanh"),
    ]:
        if found:
            raise UserError(f"Hugging Face's GPT classes cannot express this model: it has {problem}")
    outer = _GPT2 if c.norm == "pre" else _GPT
    return {_hf_name(name, outer): tensor for name, tensor in tree.items()}
