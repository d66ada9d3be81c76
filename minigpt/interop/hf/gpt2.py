"""gpt2: `GPT2LMHeadModel`. Its `Conv1D` matrices are (in, out), as ours are."""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf.activations import ACTIVATIONS
from minigpt.interop.hf.family import Family
from minigpt.interop.hf.fields import choice
from minigpt.interop.hf.gpt import (
    ALIASES,
    HARMLESS,
    OUTPUT,
    PREFIX,
    SHAPE,
    blocks,
    lacking,
    read_shape,
    write_shape,
)
from minigpt.interop.keys import Keys
from minigpt.interop.tables import Table, as_is, norm
from minigpt.models import GPTConfig

FIELDS = (*SHAPE, choice("activation", "activation_function", ACTIVATIONS, "gelu_new"))


def table(model: Any) -> Table:
    outer: Table = {
        f"{PREFIX}wte.weight": ("tokens", as_is),
        f"{PREFIX}wpe.weight": ("positions", as_is),
    }
    return outer | blocks(model.config) | norm(f"{PREFIX}ln_f", "final_norm") | OUTPUT


def read_config(keys: Keys) -> GPTConfig:
    shape = read_shape(keys, FIELDS)
    keys.fixed("scale_attn_weights", True)
    keys.fixed("scale_attn_by_inverse_layer_idx", False)
    return GPTConfig(**shape, norm="pre", feed_forward=keys.integer("n_inner", 4 * shape["width"], null=True))


def write_config(config: GPTConfig) -> dict[str, Any]:
    inner = None if config.feed_forward == 4 * config.width else config.feed_forward
    return {**write_shape(config, FIELDS), "n_inner": inner}


FAMILY = Family(
    model_type="gpt2",
    config_class="GPT2Config",
    architecture="GPT2LMHeadModel",
    family="gpt",
    read_config=read_config,
    write_config=write_config,
    table=table,
    fits=lambda config: config.norm == "pre" and config.scaled_scores,
    problems=lacking,
    prefix=PREFIX,
    tied={"lm_head.weight": f"{PREFIX}wte.weight"},
    ignored=r"(transformer\.)?h\.\d+\.attn\.(bias|masked_bias)",
    # Attention in float32 whatever the weights are in: we compute in one precision throughout.
    harmless=HARMLESS | {"reorder_and_upcast_attn"},
    aliases=ALIASES,
)
