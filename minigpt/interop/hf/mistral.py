"""mistral: `MistralForCausalLM`, a Llama all of whose layers look back over a window, or none."""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf.llama import LlamaLike
from minigpt.interop.hf.windows import windowed
from minigpt.interop.keys import Keys

WINDOW = 4096  # where the file says nothing


class MistralFamily(LlamaLike):
    """Without a window it is a Llama, and written as one."""

    model_type = "mistral"
    config_class = "MistralConfig"
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


FAMILY = MistralFamily()
