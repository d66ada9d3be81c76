"""openai-gpt: `OpenAIGPTLMHeadModel`, the GPT of 2018. Its `Conv1D` matrices are (in, out), as ours are."""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf.family import Family
from minigpt.interop.keys import MOST_LAYERS, Keys, words
from minigpt.interop.tables import Table, as_is, linear, norm, transposed
from minigpt.models import GPTConfig

PREFIX = "transformer."
DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
# Here, and only here, "gelu" is the tanh form.
ACTIVATIONS = {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}
WRITTEN = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
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
    return bare(embeddings | blocks(model.config) | output(model.config), model.config)


def output(config: Any) -> Table:
    """The output layer, where it is not the embedding."""
    return {} if config.tied or config.headless else {"lm_head.weight": ("output", transposed)}


def bare(rows: Table, config: Any) -> Table:
    """Without a head the class has no prefix."""
    return {name.removeprefix(PREFIX): row for name, row in rows.items()} if config.headless else rows


def read_shape(keys: Keys) -> dict[str, Any]:
    """The settings that GPT and GPT-2 name alike."""
    tied = keys.flag("tie_word_embeddings", True)
    return {
        "vocab_size": keys.integer("vocab_size"),
        "context": keys.integer("n_positions"),
        "layers": keys.integer("n_layer", most=MOST_LAYERS),
        "heads": keys.integer("n_head"),
        "width": keys.integer("n_embd"),
        "tied": tied,
        "headless": not tied and not keys.stores(beginning="lm_head"),
        "dropout": keys.equal(*DROPOUTS, default=0.1),
        "norm_eps": keys.number("layer_norm_epsilon", 1e-5),
        "init_std": keys.number("initializer_range", 0.02),
    }


def read_config(keys: Keys) -> GPTConfig:
    activation = keys.choice("afn", ACTIVATIONS, "gelu")
    return GPTConfig(**read_shape(keys), norm="post", activation=activation, scaled_residual_init=False)


def write_shape(config: GPTConfig) -> dict[str, Any]:
    """`read_shape` backwards."""
    return {
        "vocab_size": config.vocab_size,
        "n_positions": config.context,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_embd": config.width,
        "tie_word_embeddings": config.tied,
        **dict.fromkeys(DROPOUTS, config.dropout),
        "layer_norm_epsilon": config.norm_eps,
        "initializer_range": config.init_std,
    }


def write_config(config: GPTConfig) -> dict[str, Any]:
    named = {"architectures": ["OpenAIGPTModel"]} if config.headless else {}
    return {**named, **write_shape(config), "afn": WRITTEN[config.activation]}


def problems(config: Any) -> list[str]:
    """What of the configuration `OpenAIGPTLMHeadModel` cannot express, as ends of the sentence "the model has …"."""
    found = {
        "no biases": not config.bias,
        f"banded attention (window {config.window})": config.window,
        f"the activation {config.activation}": config.activation not in ACTIVATIONS.values(),
        f"feed-forward layers {config.feed_forward} wide, not 4 times {config.width}": (
            config.feed_forward != 4 * config.width
        ),
    }
    return [problem for problem, is_there in found.items() if is_there]


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
