"""openai-gpt, gpt2 and gpt_neo: the GPT of 2018, `OpenAIGPTLMHeadModel`, and what came of it.

The `Conv1D` matrices of the first two are (in, out), as ours are; GPT-Neo has linear layers, which are (out, in).
"""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf.family import NOTHING, Family
from minigpt.interop.hf.fields import activation, count, depth, flag, number
from minigpt.interop.hf.windows import expanded, named, pattern, windowed
from minigpt.interop.keys import Keys, words
from minigpt.interop.tables import Table, as_is, fused, layers, linear, norm, transposed

PREFIX = "transformer."
# Here, and only here, "gelu" is the tanh form.
GPT_ACTIVATIONS = {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}
ENDS = (
    flag("tied", "tie_word_embeddings", True),
    number("norm_eps", "layer_norm_epsilon", 1e-5),
    number("init_std", "initializer_range", 0.02),
)
# The settings that GPT and GPT-2 name alike.
SHAPE = (
    count("vocab_size", "vocab_size"),
    count("context", "n_positions"),
    depth("layers", "n_layer"),
    count("heads", "n_head"),
    count("width", "n_embd"),
    *ENDS,
)
# How heads that are not language models pool their states (the classes with such heads have tensors that we refuse),
# old names of the context and the tokenizer, and "is_decoder", which says nothing of a model that is always causal.
HARMLESS = words(
    """
    classifier_dropout hidden_dropout is_decoder n_ctx n_special predict_special_tokens summary_activation
    summary_first_dropout summary_proj_to_labels summary_type summary_use_proj
    """
)
KINDS = ("global", "local")  # GPT-Neo's layers: the second kind has the window
WINDOW = 256  # of GPT-Neo, where the file says nothing


class GPTFamily(Family):
    """The GPT of 2018.

    Attributes:
        embeddings: the names of those of tokens and positions.
        dropouts: the names of the rates of dropout, and `rate` what they are where the file has none.
    """

    model_type = "openai-gpt"
    architecture = "OpenAIGPTLMHeadModel"
    family = "gpt"
    fields = (*SHAPE, activation("afn", "gelu", GPT_ACTIVATIONS))
    embeddings = ("tokens_embed", "positions_embed")
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
        tokens, positions = self.embeddings
        rows: Table = {
            f"{PREFIX}{tokens}.weight": ("tokens", as_is),
            f"{PREFIX}{positions}.weight": ("positions", as_is),
        }
        rows |= layers(self.block(model.config), f"{PREFIX}h", model.config.layers)
        return rows | norm(f"{PREFIX}ln_f", "final_norm") | {"lm_head.weight": ("output", transposed)}

    def block(self, c: Any) -> Table:
        """The tensors of a block."""
        rows = norm("ln_1", "norm1") | linear("attn.c_attn", "attention.qkv", as_is)
        rows |= linear("attn.c_proj", "attention.out", as_is) | norm("ln_2", "norm2")
        return rows | linear("mlp.c_fc", "mlp.up", as_is) | linear("mlp.c_proj", "mlp.down", as_is)

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
            f"the activation {config.activation}": config.activation not in GPT_ACTIVATIONS.values(),
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


class GPT2Family(GPTFamily):
    """Like GPT, except for this."""

    model_type = "gpt2"
    architecture = "GPT2LMHeadModel"
    fields = (*SHAPE, activation("activation_function", "gelu_new"))
    fixed = {"scale_attn_weights": (True,), "scale_attn_by_inverse_layer_idx": (False,)}
    constants = NOTHING
    embeddings = ("wte", "wpe")
    inner = "n_inner"  # the feed-forward layer's width; null is four times the model's
    tied = {"lm_head.weight": f"{PREFIX}wte.weight"}
    ignored = r"(transformer\.)?h\.\d+\.attn\.(bias|masked_bias)"
    # Attention in float32 whatever the weights are in: we compute in one precision throughout.
    harmless = HARMLESS | {"reorder_and_upcast_attn"}

    def read(self, keys: Keys) -> dict[str, Any]:
        shape = super().read(keys)
        return shape | {"feed_forward": keys.integer(self.inner, 4 * shape["width"], null=True)}

    def write_config(self, config: Any) -> dict[str, Any]:
        inner = None if config.feed_forward == 4 * config.width else config.feed_forward
        return super().write_config(config) | {self.inner: inner}

    def fits(self, config: Any) -> bool:
        return config.norm == "pre" and config.scaled_scores

    def problems(self, config: Any) -> dict[str, Any]:
        return lacking(config)


class GPTNeoFamily(GPT2Family):
    """Like GPT-2, except for this: above all its file names layer by layer which have the window."""

    model_type = "gpt_neo"
    architecture = "GPTNeoForCausalLM"
    fields = (
        count("vocab_size", "vocab_size"),
        count("context", "max_position_embeddings"),
        depth("layers", "num_layers"),
        count("heads", "num_heads"),
        count("width", "hidden_size"),
        *ENDS,
        activation("activation_function", "gelu_new"),
    )
    fixed = NOTHING
    constants = {"qkv_bias": False, "scaled_scores": False}
    dropouts = ("resid_dropout", "embed_dropout", "attention_dropout")
    rate = 0.0
    inner = "intermediate_size"
    ignored = r"(transformer\.)?h\.\d+\.attn\.attention\.(bias|masked_bias)"
    harmless = HARMLESS
    aliases = {"num_heads": "num_attention_heads", "num_layers": "num_hidden_layers"}

    def block(self, c: Any) -> Table:
        rows = norm("ln_1", "norm1") | norm("ln_2", "norm2")
        rows |= fused({f"attn.attention.{name}_proj": c.width for name in "qkv"}, "attention.qkv")
        rows |= linear("attn.attention.out_proj", "attention.out")
        return rows | linear("mlp.c_fc", "mlp.up") | linear("mlp.c_proj", "mlp.down")

    def read(self, keys: Keys) -> dict[str, Any]:
        """Which layers have the window `attention_types` says; old files have the list that it stands for as well."""
        shape = super().read(keys)
        kinds = expanded(keys, "attention_types", [[list(KINDS), 12]])
        windows = named(keys, "attention_types", kinds, KINDS, shape["layers"])
        keys.fixed("attention_layers", kinds, None)
        return shape | {"window": keys.integer("window_size", WINDOW), "window_layers": windows}

    def write_config(self, config: Any) -> dict[str, Any]:
        kinds = [KINDS[has] for has in windowed(config)]
        some = len(pattern(windowed(config)))
        some = some if config.layers % some == 0 else config.layers
        return super().write_config(config) | {
            "window_size": config.window or WINDOW,
            "attention_types": [[kinds[:some], config.layers // some]],
            "attention_layers": kinds,
        }

    def fits(self, config: Any) -> bool:
        return config.norm == "pre" and not config.scaled_scores

    def problems(self, config: Any) -> dict[str, Any]:
        return {"no biases": not config.bias, "biases of queries, keys and values": config.bias and config.qkv_bias}
