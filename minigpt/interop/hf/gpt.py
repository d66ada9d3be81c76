"""openai-gpt: `OpenAIGPTLMHeadModel`, the GPT of 2018. Its `Conv1D` matrices are (in, out), as ours are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minigpt.interop.hf.family import Family
from minigpt.interop.hf.fields import Field, choice, count, depth, flag, number, read, written
from minigpt.interop.keys import Keys, words
from minigpt.interop.tables import Table, as_is, linear, norm, transposed
from minigpt.models import GPTConfig

PREFIX = "transformer."
DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
OUTPUT: Table = {"lm_head.weight": ("output", transposed)}  # where it is not the embedding
# Here, and only here, "gelu" is the tanh form.
ACTIVATIONS = {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}
# The settings that GPT and GPT-2 name alike.
SHAPE = (
    count("vocab_size", "vocab_size"),
    count("context", "n_positions"),
    depth("layers", "n_layer"),
    count("heads", "n_head"),
    count("width", "n_embd"),
    flag("tied", "tie_word_embeddings", True),
    number("norm_eps", "layer_norm_epsilon", 1e-5),
    number("init_std", "initializer_range", 0.02),
)
FIELDS = (*SHAPE, choice("activation", "afn", ACTIVATIONS, "gelu"))
ALIASES = {
    "n_embd": "hidden_size",
    "n_positions": "max_position_embeddings",
    "n_head": "num_attention_heads",
    "n_layer": "num_hidden_layers",
}
# How heads that are not language models pool their states (the classes with such heads have tensors that we refuse),
# old names of the context and the tokenizer, and "is_decoder", which says nothing of a model that is always causal.
HARMLESS = words(
    """
    classifier_dropout hidden_dropout is_decoder n_ctx n_special predict_special_tokens summary_activation
    summary_first_dropout summary_proj_to_labels summary_type summary_use_proj
    """
)


def blocks(config: Any) -> Table:
    """The blocks, which GPT and GPT-2 name alike."""
    table: Table = {}
    for layer in range(config.layers):
        theirs, ours = f"{PREFIX}h.{layer}", f"blocks.{layer}"
        table |= norm(f"{theirs}.ln_1", f"{ours}.norm1")
        table |= linear(f"{theirs}.attn.c_attn", f"{ours}.attention.qkv", as_is)
        table |= linear(f"{theirs}.attn.c_proj", f"{ours}.attention.out", as_is)
        table |= norm(f"{theirs}.ln_2", f"{ours}.norm2")
        table |= linear(f"{theirs}.mlp.c_fc", f"{ours}.mlp.up", as_is)
        table |= linear(f"{theirs}.mlp.c_proj", f"{ours}.mlp.down", as_is)
    return table


def table(model: Any) -> Table:
    embeddings: Table = {
        f"{PREFIX}tokens_embed.weight": ("tokens", as_is),
        f"{PREFIX}positions_embed.weight": ("positions", as_is),
    }
    return embeddings | blocks(model.config) | OUTPUT


def read_shape(
    keys: Keys, fields: Iterable[Field], dropouts: tuple[str, ...] = DROPOUTS, rate: float = 0.1
) -> dict[str, Any]:
    """These settings, and what all GPTs share besides. Args: `rate`: of the dropouts, where the file has none."""
    shape = read(keys, fields)
    headless = not shape["tied"] and not keys.stores(beginning="lm_head")
    return shape | {"headless": headless, "dropout": keys.equal(*dropouts, default=rate)}


def write_shape(config: GPTConfig, fields: Iterable[Field], dropouts: tuple[str, ...] = DROPOUTS) -> dict[str, Any]:
    """`read_shape` backwards."""
    return {**written(config, fields), **dict.fromkeys(dropouts, config.dropout)}


def read_config(keys: Keys) -> GPTConfig:
    return GPTConfig(**read_shape(keys, FIELDS), norm="post", scaled_residual_init=False)


def write_config(config: GPTConfig) -> dict[str, Any]:
    return write_shape(config, FIELDS)


def lacking(config: Any) -> dict[str, Any]:
    """What neither GPT's class nor GPT-2's can express, and whether the configuration has it."""
    return {
        "no biases": not config.bias,
        "no biases of queries, keys and values": config.bias and not config.qkv_bias,
        f"banded attention (window {config.window})": config.window,
    }


def problems(config: Any) -> dict[str, Any]:
    return lacking(config) | {
        "scores that are not scaled": not config.scaled_scores,
        f"the activation {config.activation}": config.activation not in ACTIVATIONS.values(),
        f"feed-forward layers {config.feed_forward} wide, not 4 times {config.width}": (
            config.feed_forward != 4 * config.width
        ),
    }


FAMILY = Family(
    model_type="openai-gpt",
    config_class="OpenAIGPTConfig",
    architecture="OpenAIGPTLMHeadModel",
    family="gpt",
    read_config=read_config,
    write_config=write_config,
    table=table,
    fits=lambda config: config.norm == "post",
    problems=problems,
    prefix=PREFIX,
    tied={"lm_head.weight": f"{PREFIX}tokens_embed.weight"},
    ignored=r"(transformer\.)?(position_ids|h\.\d+\.attn\.bias)",
    harmless=HARMLESS,
    aliases=ALIASES,
)
