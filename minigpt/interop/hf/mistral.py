"""mistral: `MistralForCausalLM`, a Llama all of whose layers look back over a window, or none."""

from __future__ import annotations

from typing import Any

from minigpt.interop.hf import llama
from minigpt.interop.hf.windows import windowed
from minigpt.interop.keys import Keys
from minigpt.models.llama import LlamaConfig

WINDOW = 4096  # where the file says nothing


def read_config(keys: Keys) -> LlamaConfig:
    """Without a window it is a Llama, and written as one."""
    has_none = keys.get("sliding_window", WINDOW, null=False) is None
    window = 0 if has_none else keys.integer("sliding_window", WINDOW)
    return LlamaConfig(**llama.read_shape(keys, kv_heads=8), window=window)


def write_config(config: LlamaConfig) -> dict[str, Any]:
    return {**llama.write_shape(config), "sliding_window": config.window}


def problems(config: Any) -> dict[str, Any]:
    return {
        "biases in attention": config.attention_bias != "none",
        f"a window of {config.window} tokens in some layers only": not all(windowed(config)),
    }


FAMILY = llama.FAMILY._replace(
    model_type="mistral",
    config_class="MistralConfig",
    architecture="MistralForCausalLM",
    read_config=read_config,
    write_config=write_config,
    fits=lambda config: config.attention_bias != "qkv" and any(windowed(config)),
    problems=problems,
)
