"""openai-gpt: `OpenAIGPTLMHeadModel`, the GPT of 2018. Its `Conv1D` matrices are (in, out), as ours are."""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf.family import Family
from minigpt.interop.hf.fields import choice, count, depth, flag, number
from minigpt.interop.keys import Keys, words
from minigpt.interop.tables import Table, as_is, layers, linear, norm, transposed
from minigpt.models import GPTConfig

PREFIX = "transformer."
OUTPUT: Table = {"lm_head.weight": ("output", transposed)}  # where it is not the embedding
# Here, and only here, "gelu" is the tanh form.
ACTIVATIONS = {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}
# The settings, and the tensors of a block, that GPT and GPT-2 name alike.
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
BLOCK = norm("ln_1", "norm1") | linear("attn.c_attn", "attention.qkv", as_is)
BLOCK |= linear("attn.c_proj", "attention.out", as_is) | norm("ln_2", "norm2")
BLOCK |= linear("mlp.c_fc", "mlp.up", as_is) | linear("mlp.c_proj", "mlp.down", as_is)
# How heads that are not language models pool their states (the classes with such heads have tensors that we refuse),
# old names of the context and the tokenizer, and "is_decoder", which says nothing of a model that is always causal.
HARMLESS = words(
    """
    classifier_dropout hidden_dropout is_decoder n_ctx n_special predict_special_tokens summary_activation
    summary_first_dropout summary_proj_to_labels summary_type summary_use_proj
    """
)


class GPTFamily(Family):
    """The GPT of 2018, whose rates of dropout have the names `dropouts` and, where the file has none, are `rate`."""

    model_type = "openai-gpt"
    config_class = "OpenAIGPTConfig"
    architecture = "OpenAIGPTLMHeadModel"
    family = "gpt"
    config = GPTConfig
    fields = (*SHAPE, choice("activation", "afn", ACTIVATIONS, "gelu"))
    dropouts = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
    rate = 0.1
    constants = {"norm": "post", "scaled_residual_init": False}
    prefix = PREFIX
    tied = {"lm_head.weight": f"{PREFIX}tokens_embed.weight"}
    ignored = r"(transformer\.)?(position_ids|h\.\d+\.attn\.bias)"
    harmless = HARMLESS
    aliases = {
        "n_embd": "hidden_size",
        "n_positions": "max_position_embeddings",
        "n_head": "num_attention_heads",
        "n_layer": "num_hidden_layers",
    }

    def table(self, model: Any) -> Table:
        embeddings: Table = {
            f"{PREFIX}tokens_embed.weight": ("tokens", as_is),
            f"{PREFIX}positions_embed.weight": ("positions", as_is),
        }
        return embeddings | layers(BLOCK, f"{PREFIX}h", model.config.layers) | OUTPUT

    def read(self, keys: Keys) -> dict[str, Any]:
        shape = super().read(keys)
        headless = not shape["tied"] and not keys.stores(beginning="lm_head")
        return shape | {"headless": headless, "dropout": keys.equal(*self.dropouts, default=self.rate)}

    def write_config(self, config: Any) -> dict[str, Any]:
        return super().write_config(config) | dict.fromkeys(self.dropouts, config.dropout)

    def fits(self, config: Any) -> bool:
        return config.norm == "post"

    def problems(self, config: Any) -> dict[str, Any]:
        return lacking(config) | {
            "scores that are not scaled": not config.scaled_scores,
            f"the activation {config.activation}": config.activation not in ACTIVATIONS.values(),
            f"feed-forward layers {config.feed_forward} wide, not 4 times {config.width}": (
                config.feed_forward != 4 * config.width
            ),
        }


def lacking(config: Any) -> dict[str, Any]:
    """What neither GPT's class nor GPT-2's can express, and whether the configuration has it."""
    return {
        "no biases": not config.bias,
        "no biases of queries, keys and values": config.bias and not config.qkv_bias,
        f"banded attention (window {config.window})": config.window,
    }


FAMILY = GPTFamily()
