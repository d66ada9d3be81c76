"""gpt_neo: `GPTNeoForCausalLM`, whose windows its file names layer by layer. Linear layers are (out, in)."""

from __future__ import annotations

from typing import Any

from minigpt.core.limits import LAYERS
from minigpt.interop.hf.activations import ACTIVATIONS
from minigpt.interop.hf.family import NOTHING
from minigpt.interop.hf.fields import choice, count, depth, flag, number
from minigpt.interop.hf.gpt import HARMLESS, OUTPUT, PREFIX
from minigpt.interop.hf.gpt2 import EMBEDDINGS, GPT2Family
from minigpt.interop.hf.windows import pattern, windowed
from minigpt.interop.keys import Keys
from minigpt.interop.tables import Table, fused, layers, linear, norm

KINDS = ("global", "local")  # the second has the window
WINDOW = 256  # where the file says nothing


class GPTNeoFamily(GPT2Family):
    """Like GPT-2, except for this."""

    model_type = "gpt_neo"
    config_class = "GPTNeoConfig"
    architecture = "GPTNeoForCausalLM"
    fields = (
        count("vocab_size", "vocab_size"),
        count("context", "max_position_embeddings"),
        depth("layers", "num_layers"),
        count("heads", "num_heads"),
        count("width", "hidden_size"),
        flag("tied", "tie_word_embeddings", True),
        number("norm_eps", "layer_norm_epsilon", 1e-5),
        number("init_std", "initializer_range", 0.02),
        choice("activation", "activation_function", ACTIVATIONS, "gelu_new"),
    )
    fixed = NOTHING
    constants = {"qkv_bias": False, "scaled_scores": False}
    dropouts = ("resid_dropout", "embed_dropout", "attention_dropout")
    rate = 0.0
    inner = "intermediate_size"
    ignored = r"(transformer\.)?h\.\d+\.attn\.attention\.(bias|masked_bias)"
    harmless = HARMLESS
    aliases = {"num_heads": "num_attention_heads", "num_layers": "num_hidden_layers"}

    def table(self, model: Any) -> Table:
        c = model.config
        block = norm("ln_1", "norm1") | norm("ln_2", "norm2")
        block |= fused({f"attn.attention.{name}_proj": c.width for name in "qkv"}, "attention.qkv")
        block |= linear("attn.attention.out_proj", "attention.out")
        block |= linear("mlp.c_fc", "mlp.up") | linear("mlp.c_proj", "mlp.down")
        return EMBEDDINGS | layers(block, f"{PREFIX}h", c.layers) | norm(f"{PREFIX}ln_f", "final_norm") | OUTPUT

    def read(self, keys: Keys) -> dict[str, Any]:
        shape = super().read(keys)
        windows = _window_layers(keys, shape["layers"])
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


def _window_layers(keys: Keys, layers: int) -> str:
    """Of `attention_types`, [[[kinds, …], how often], …]; old files have the list that it stands for as well."""
    kinds: list[Any] = []
    written = keys.get("attention_types", [[list(KINDS), 12]])
    for item in written if isinstance(written, list) else [written]:
        match item:
            case [list(some), int(times)] if 0 < times <= LAYERS and len(some) <= LAYERS and len(kinds) <= LAYERS:
                kinds += some * min(times, LAYERS // max(1, len(some)) + 1)
            case _:
                raise keys.refusal("attention_types", 'it must be a list such as [[["global", "local"], 12]]')
    if len(kinds) != layers or not all(kind in KINDS for kind in kinds):
        raise keys.refusal("attention_types", f"it must name {layers} layers, each {' or '.join(KINDS)}")
    keys.fixed("attention_layers", kinds, None)
    return pattern([kind == KINDS[1] for kind in kinds])


FAMILY = GPTNeoFamily()
