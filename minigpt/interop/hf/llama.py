"""llama, mistral and qwen2: `LlamaForCausalLM`, `LlamaModel` alone, and two of Llama's descendants.

Linear layers are (out, in); gate and up, q, k and v are apart.
"""

from __future__ import annotations

from typing import Any

from minigpt.core.backend import Array
from minigpt.core.limits import LAYERS
from minigpt.interop.hf.family import Family
from minigpt.interop.hf.fields import count, depth, flag, number, rate
from minigpt.interop.hf.windows import named, windowed
from minigpt.interop.keys import Keys, words
from minigpt.interop.tables import Table, View, as_is, layers, llama_layer, norm, transposed

PREFIX = "model."
CONTEXT = 2048  # where the file says nothing
BASE = 10000.0  # of the rotation, where the file says nothing
WINDOW = 4096  # of Mistral and Qwen2, where the file says nothing
KINDS = ("full_attention", "sliding_attention")  # Qwen2's layers
# Llama 3.1's scaling of the rotation: what it is called there, and in our configuration.
SCALING = {
    "factor": "rope_factor",
    "low_freq_factor": "rope_low",
    "high_freq_factor": "rope_high",
    "original_max_position_embeddings": "rope_context",
}
LAYER = (
    *("input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"),
    *("post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
)


class LlamaLike(Family):
    """What all of Llama's descendants share; `kv_heads` are those of a file without such a key, 0 as many as heads."""

    family = "llama"
    fields = (
        count("vocab_size", "vocab_size"),
        count("context", "max_position_embeddings", CONTEXT),
        depth("layers", "num_hidden_layers"),
        count("heads", "num_attention_heads"),
        count("width", "hidden_size"),
        count("head_width", "head_dim", 0, least=0, null=True),
        count("feed_forward", "intermediate_size"),
        flag("tied", "tie_word_embeddings", False),
        rate("attention_dropout", "attention_dropout", 0, null=True),
        number("norm_eps", "rms_norm_eps", 1e-6),
        number("init_std", "initializer_range", 0.02),
    )
    fixed = {"partial_rotary_factor": (1, None)}
    constants = {"scaled_residual_init": False}
    kv_heads = 0
    prefix = PREFIX
    tied = {"lm_head.weight": f"{PREFIX}embed_tokens.weight"}
    ignored = r"(model\.)?layers\.\d+\.self_attn\.rotary_emb\.inv_freq"
    harmless = words("is_decoder original_max_position_embeddings pretraining_tp")

    def table(self, model: Any) -> Table:
        c = model.config
        outer: Table = {f"{PREFIX}embed_tokens.weight": ("tokens", as_is), "lm_head.weight": ("output", transposed)}
        layer = llama_layer(c, LAYER, _halves_first if c.rope_layout == "interleaved" else None)
        return outer | layers(layer, f"{PREFIX}layers", c.layers) | norm(f"{PREFIX}norm", "final_norm")

    def read(self, keys: Keys) -> dict[str, Any]:
        keys.choice("hidden_act", {"silu": "swiglu", "swish": "swiglu"}, "silu")
        shape = super().read(keys)
        groups = shape["heads"] if keys.holds("num_key_value_heads") or not self.kv_heads else self.kv_heads
        return {
            **shape,
            "kv_heads": keys.integer("num_key_value_heads", groups, null=True),
            "headless": not shape["tied"] and not keys.stores(beginning="lm_head"),
            **_read_rope(keys),
        }

    def write_config(self, config: Any) -> dict[str, Any]:
        """With both spellings of the rotation, for transformers of any version."""
        scaling: dict[str, Any] = {"rope_type": "default"}
        if config.rope_factor > 1:
            scaling = {"rope_type": "llama3", **{theirs: getattr(config, ours) for theirs, ours in SCALING.items()}}
        return {
            **super().write_config(config),
            "num_key_value_heads": config.kv_heads,
            "hidden_act": "silu",
            "rope_parameters": {**scaling, "rope_theta": config.rope_base},
            "rope_theta": config.rope_base,
            "rope_scaling": scaling if config.rope_factor > 1 else None,
        }


class LlamaFamily(LlamaLike):
    """Llama itself, whose attention may have biases."""

    model_type = "llama"
    architecture = "LlamaForCausalLM"
    fixed = LlamaLike.fixed | {"mlp_bias": (False, None), "attention_bias": (True, False, None)}

    def read(self, keys: Keys) -> dict[str, Any]:
        return super().read(keys) | {"attention_bias": "all" if keys.get("attention_bias") else "none"}

    def write_config(self, config: Any) -> dict[str, Any]:
        return super().write_config(config) | {"attention_bias": config.attention_bias == "all", "mlp_bias": False}

    def fits(self, config: Any) -> bool:
        return config.attention_bias != "qkv" and not any(windowed(config))


class MistralFamily(LlamaLike):
    """A Llama all of whose layers look back over a window, or none: then it is a Llama, and written as one."""

    model_type = "mistral"
    architecture = "MistralForCausalLM"
    kv_heads = 8

    def read(self, keys: Keys) -> dict[str, Any]:
        has_none = keys.get("sliding_window", WINDOW, null=False) is None
        return super().read(keys) | {"window": 0 if has_none else keys.integer("sliding_window", WINDOW)}

    def write_config(self, config: Any) -> dict[str, Any]:
        return super().write_config(config) | {"sliding_window": config.window}

    def fits(self, config: Any) -> bool:
        return config.attention_bias != "qkv" and any(windowed(config))

    def problems(self, config: Any) -> dict[str, Any]:
        return {
            "biases in attention": config.attention_bias != "none",
            f"a window of {config.window} tokens in some layers only": not all(windowed(config)),
        }


class Qwen2Family(LlamaLike):
    """A Llama with biases of queries, keys and values; some of its layers may have a window."""

    model_type = "qwen2"
    architecture = "Qwen2ForCausalLM"
    constants = LlamaLike.constants | {"attention_bias": "qkv"}
    kv_heads = 32

    def read(self, keys: Keys) -> dict[str, Any]:
        shape = super().read(keys)
        sliding = keys.flag("use_sliding_window", False)
        sliding = keys.get("sliding_window", WINDOW, null=False) is not None and sliding
        window = keys.integer("sliding_window", WINDOW) if sliding else 0
        first = keys.integer("max_window_layers", 28, least=0, most=LAYERS)
        kinds = keys.get("layer_types", [KINDS[window > 0 and n >= first] for n in range(shape["layers"])])
        windows = named(keys, "layer_types", kinds, KINDS, shape["layers"])
        if not window and KINDS[1] in kinds:
            none = "sliding_window" if keys.flag("use_sliding_window", False) else "use_sliding_window"
            raise keys.refusal(none, f"layer_types has {KINDS[1]}")
        return shape | {"window": window, "window_layers": windows}

    def write_config(self, config: Any) -> dict[str, Any]:
        windows = windowed(config)
        return {
            **super().write_config(config),
            "use_sliding_window": any(windows),
            "sliding_window": config.window or None,
            **({"max_window_layers": windows.index(True)} if any(windows) else {}),
            "layer_types": [KINDS[has] for has in windows],
        }

    def fits(self, config: Any) -> bool:
        return config.attention_bias == "qkv"


def _halves_first(columns: View, head_width: int) -> View:
    """Rows x₀, y₀, x₁, y₁, … of each head (Meta's layout) in the order x₀, x₁, …, y₀, y₁, … (theirs).

    The one copy among the views: no strides hold such rows. So a model of this layout can be written from it but not
    read into it; what is read from their folders has their layout.
    """

    def view(x: Array) -> Array:
        rows = columns(x)  # (H·D, C), or a bias (H·D,)
        return rows.reshape(-1, head_width // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)

    return view


def _read_rope(keys: Keys) -> dict[str, Any]:
    """The rotation, which transformers before version 5 spells otherwise; where a file has both they must agree."""
    spelled = {name: _spelled(keys, name) for name in ("rope_parameters", "rope_scaling") if keys.get(name)}
    rope = spelled.get("rope_parameters") or spelled.get("rope_scaling") or {"rope_base": _base(keys)}
    if "rope_scaling" in spelled and spelled["rope_scaling"] != rope:
        raise keys.refusal("rope_scaling", "rope_parameters says something else")
    if keys.get("rope_theta") is not None and rope["rope_base"] != _base(keys):
        raise keys.refusal("rope_theta", f"rope_parameters says {rope['rope_base']}")
    return rope


def _base(keys: Keys) -> float:
    """The base beside the spellings. A null is not the default: their class then has no base and cannot compute."""
    return keys.number("rope_theta", BASE)


def _spelled(keys: Keys, name: str) -> dict[str, Any]:
    inner = keys.section(name)
    kind = "type" if inner.get("rope_type") is None else "rope_type"
    kind = inner.choice(kind, {"default": "default", "llama3": "llama3"}, "default")
    inner.get("type")  # some files say it twice, in the old and in the new way
    inner.fixed("partial_rotary_factor", 1, None)
    rope = {"rope_base": inner.number("rope_theta") if inner.holds("rope_theta") else _base(keys)}
    if kind == "llama3":
        for theirs, ours in SCALING.items():
            if ours == "rope_context":
                rope[ours] = _old_context(keys, inner, theirs)
            else:
                rope[ours] = inner.number(theirs)
    return rope


def _old_context(keys: Keys, inner: Keys, name: str) -> int:
    """How long the context was before it was stretched: their class looks beside the rotation first, then inside it,
    and takes what it is now if neither says it.
    """
    inside = inner.integer(name, keys.integer("max_position_embeddings", CONTEXT))
    return keys.integer(name, inside)
