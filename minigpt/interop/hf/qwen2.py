"""qwen2: `Qwen2ForCausalLM`, a Llama with biases of queries, keys and values; some of its layers may have a window."""

from __future__ import annotations

from typing import Any

from minigpt.core.limits import LAYERS
from minigpt.interop.hf import llama
from minigpt.interop.hf.windows import pattern, windowed
from minigpt.interop.keys import Keys
from minigpt.models.llama import LlamaConfig

WINDOW = 4096  # where the file says nothing
KINDS = ("full_attention", "sliding_attention")


def read_config(keys: Keys) -> LlamaConfig:
    shape = llama.read_shape(keys, kv_heads=32)
    sliding = keys.flag("use_sliding_window", False)
    sliding = keys.get("sliding_window", WINDOW, null=False) is not None and sliding
    window = keys.integer("sliding_window", WINDOW) if sliding else 0
    first = keys.integer("max_window_layers", 28, least=0, most=LAYERS)
    kinds = keys.get("layer_types", [KINDS[window > 0 and n >= first] for n in range(shape["layers"])])
    if not isinstance(kinds, list) or len(kinds) != shape["layers"] or not all(kind in KINDS for kind in kinds):
        raise keys.refusal("layer_types", f"it must name {shape['layers']} layers, each {' or '.join(KINDS)}")
    if not window and KINDS[1] in kinds:
        none = "sliding_window" if keys.flag("use_sliding_window", False) else "use_sliding_window"
        raise keys.refusal(none, f"layer_types has {KINDS[1]}")
    windows = pattern([kind == KINDS[1] for kind in kinds])
    return LlamaConfig(**shape, attention_bias="qkv", window=window, window_layers=windows)


def write_config(config: LlamaConfig) -> dict[str, Any]:
    windows = windowed(config)
    return {
        **llama.write_shape(config),
        "use_sliding_window": any(windows),
        "sliding_window": config.window or None,
        **({"max_window_layers": windows.index(True)} if any(windows) else {}),
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
