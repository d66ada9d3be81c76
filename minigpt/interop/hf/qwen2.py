"""qwen2: `Qwen2ForCausalLM`, a Llama with biases of queries, keys and values; some of its layers may have a window."""

from __future__ import annotations

from typing import Any

from minigpt.core.limits import LAYERS
from minigpt.interop.hf import llama
from minigpt.interop.hf.windows import pattern, windowed
from minigpt.interop.keys import Keys
from minigpt.models.llama import LlamaConfig

KINDS = ("full_attention", "sliding_attention")


def read_config(keys: Keys) -> LlamaConfig:
    shape = llama.read_shape(keys, kv_heads=32)
    window = keys.integer("sliding_window", 4096, null=True)
    if not keys.flag("use_sliding_window", False) or (
        keys.holds("sliding_window") and keys.get("sliding_window") is None
    ):
        window = 0
    first = keys.integer("max_window_layers", 28, least=0, most=LAYERS)
    kinds = keys.get("layer_types", [KINDS[window > 0 and n >= first] for n in range(shape["layers"])])
    if not isinstance(kinds, list) or len(kinds) != shape["layers"] or not all(kind in KINDS for kind in kinds):
        raise keys.refusal("layer_types", f"it must name {shape['layers']} layers, each {' or '.join(KINDS)}")
    if not window and KINDS[1] in kinds:
        raise keys.refusal("layer_types", "there is no window: use_sliding_window is not true, or sliding_window null")
    windows = pattern([kind == KINDS[1] for kind in kinds])
    return LlamaConfig(**shape, attention_bias="qkv", window=window, window_layers=windows)


def write_config(config: LlamaConfig) -> dict[str, Any]:
    windows = windowed(config)
    return {
        **llama.write_shape(config, "Qwen2Model"),
        "use_sliding_window": any(windows),
        "sliding_window": config.window or None,
        "max_window_layers": windows.index(True) if any(windows) else config.layers,
        "layer_types": [KINDS[has] for has in windows],
    }


FAMILY = llama.FAMILY._replace(
    model_type="qwen2",
    config_class="Qwen2Config",
    architecture="Qwen2ForCausalLM",
    read_config=read_config,
    write_config=write_config,
    fits=lambda config: config.attention_bias == "qkv",
)
