"""gpt_neo: `GPTNeoForCausalLM`, whose windows its file names layer by layer. Linear layers are (out, in)."""

from __future__ import annotations

from typing import Any

from minigpt.core.limits import LAYERS
from minigpt.interop.hf.activations import ACTIVATIONS
from minigpt.interop.hf.family import Family
from minigpt.interop.hf.fields import choice, count, depth, flag, number
from minigpt.interop.hf.gpt import HARMLESS, OUTPUT, PREFIX, read_shape, write_shape
from minigpt.interop.hf.windows import pattern, windowed
from minigpt.interop.keys import Keys
from minigpt.interop.tables import Table, as_is, fused, linear, norm
from minigpt.models import GPTConfig

DROPOUTS = ("resid_dropout", "embed_dropout", "attention_dropout")
KINDS = ("global", "local")  # the second has the window
WINDOW = 256  # where the file says nothing
FIELDS = (
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


def table(model: Any) -> Table:
    c = model.config
    rows: Table = {f"{PREFIX}wte.weight": ("tokens", as_is), f"{PREFIX}wpe.weight": ("positions", as_is)}
    for layer in range(c.layers):
        theirs, ours = f"{PREFIX}h.{layer}", f"blocks.{layer}"
        rows |= norm(f"{theirs}.ln_1", f"{ours}.norm1") | norm(f"{theirs}.ln_2", f"{ours}.norm2")
        qkv = {f"{theirs}.attn.attention.{name}_proj": c.width for name in "qkv"}
        rows |= fused(qkv, f"{ours}.attention.qkv")
        rows |= linear(f"{theirs}.attn.attention.out_proj", f"{ours}.attention.out")
        rows |= linear(f"{theirs}.mlp.c_fc", f"{ours}.mlp.up") | linear(f"{theirs}.mlp.c_proj", f"{ours}.mlp.down")
    return rows | norm(f"{PREFIX}ln_f", "final_norm") | OUTPUT


def read_config(keys: Keys) -> GPTConfig:
    shape = read_shape(keys, FIELDS, DROPOUTS, 0.0)
    return GPTConfig(
        **shape,
        feed_forward=keys.integer("intermediate_size", 4 * shape["width"], null=True),
        window=keys.integer("window_size", WINDOW),
        window_layers=_window_layers(keys, shape["layers"]),
        qkv_bias=False,
        scaled_scores=False,
    )


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


def write_config(config: GPTConfig) -> dict[str, Any]:
    inner = None if config.feed_forward == 4 * config.width else config.feed_forward
    kinds = [KINDS[has] for has in windowed(config)]
    some = len(pattern(windowed(config)))
    some = some if config.layers % some == 0 else config.layers
    return {
        **write_shape(config, FIELDS, DROPOUTS),
        "intermediate_size": inner,
        "window_size": config.window or WINDOW,
        "attention_types": [[kinds[:some], config.layers // some]],
        "attention_layers": kinds,
    }


def problems(config: Any) -> dict[str, Any]:
    return {"no biases": not config.bias, "biases of queries, keys and values": config.bias and config.qkv_bias}


FAMILY = Family(
    model_type="gpt_neo",
    config_class="GPTNeoConfig",
    architecture="GPTNeoForCausalLM",
    family="gpt",
    read_config=read_config,
    write_config=write_config,
    table=table,
    fits=lambda config: config.norm == "pre" and not config.scaled_scores,
    problems=problems,
    prefix=PREFIX,
    tied={"lm_head.weight": f"{PREFIX}wte.weight"},
    ignored=r"(transformer\.)?h\.\d+\.attn\.attention\.(bias|masked_bias)",
    harmless=HARMLESS,
    aliases={"num_heads": "num_attention_heads", "num_layers": "num_hidden_layers"},
)
