"""qwen2: `Qwen2ForCausalLM`, a Llama with biases of queries, keys and values; some of its layers may have a window."""

from __future__ import annotations

from typing import Any

from minigpt.core.limits import LAYERS
from minigpt.interop.hf.llama import LlamaLike
from minigpt.interop.hf.windows import pattern, windowed
from minigpt.interop.keys import Keys

WINDOW = 4096  # where the file says nothing
KINDS = ("full_attention", "sliding_attention")


class Qwen2Family(LlamaLike):
    """Like Llama, except for this."""

    model_type = "qwen2"
    config_class = "Qwen2Config"
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
        if not isinstance(kinds, list) or len(kinds) != shape["layers"] or not all(kind in KINDS for kind in kinds):
            raise keys.refusal("layer_types", f"it must name {shape['layers']} layers, each {' or '.join(KINDS)}")
        if not window and KINDS[1] in kinds:
            none = "sliding_window" if keys.flag("use_sliding_window", False) else "use_sliding_window"
            raise keys.refusal(none, f"layer_types has {KINDS[1]}")
        return shape | {"window": window, "window_layers": pattern([kind == KINDS[1] for kind in kinds])}

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


FAMILY = Qwen2Family()
