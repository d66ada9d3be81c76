"""Llama (Touvron et al. 2023): a decoder-only Transformer with the choices that most later models kept.

Against GPT-2 it has RMSNorm for LayerNorm, SwiGLU for GELU, rotary positions in every layer for a learned table, an
output layer of its own, and no biases; since Llama 2 70B also fewer key-value heads than query heads. Mistral (Jiang et
al. 2023) is one whose layers look back over a window, Qwen2 (Yang et al. 2024) one whose queries, keys and values have
biases.
"""

from __future__ import annotations

from dataclasses import dataclass

from minigpt import ops
from minigpt.blocks import BlockConfig
from minigpt.core.settings import at_least, choice, multiple, one_of, rates, require
from minigpt.models.decoder_only import DecoderConfig, DecoderOnly
from minigpt.ops.rope import LAYOUTS


def feed_forward_width(width: int, multiplier: float = 1.0, multiple: int = 256) -> int:
    """F of Meta's models: two thirds of 4 C (a gate costs a third matrix), times a factor, rounded up to a multiple.

    Llama 2 70B has multiplier 1.3 and multiple 4096, Llama 3 8B 1.3 and 1024.
    """
    hidden = int(multiplier * int(2 * 4 * width / 3))
    return -(-hidden // multiple) * multiple


@dataclass(frozen=True)
class LlamaConfig(DecoderConfig):
    """The shape of a Llama: F is `feed_forward_width(C)` unless it says otherwise, ε is 1e-6 in Llama 1, small models
    are tied, the window is Mistral's, and of scaled_residual_init the paper says nothing.

    Attributes:
        kv_heads: G, which divides H; 0 means H (Llama 1, the smaller Llama 2).
        head_width: D, even; 0 means C/H, and then H divides C.
        rope_base: 10,000 in Llama 1 and 2, 500,000 in Llama 3.
        rope_layout: "half" as Hugging Face lays a head out, "interleaved" as Meta does; the models are equivalent.
        rope_factor, rope_low, rope_high, rope_context: Llama 3.1's scaling (see `ops.RopeScaling`); a factor of 1 is
            none.
        attention_dropout: the rate on attention probabilities while training (none in Meta's models).
        attention_bias: "none", "qkv" (Qwen2: of queries, keys and values), or "all" (of attention's output too).
    """

    kv_heads: int = 0
    head_width: int = 0
    rope_base: float = 10000.0
    rope_layout: str = "half"
    rope_factor: float = 1.0
    rope_low: float = 1.0
    rope_high: float = 4.0
    rope_context: int = 8192
    attention_dropout: float = 0.0
    attention_bias: str = "none"
    window_layers: str = "w"
    tied: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, "model", self, "rope_context")
        at_least(0, "model", self, "kv_heads", "head_width")
        if not self.head_width:
            multiple("model", self, "width", "heads")
        for name, value in {
            "kv_heads": self.heads,
            "head_width": self.width // self.heads,
            "feed_forward": feed_forward_width(self.width),
        }.items():
            object.__setattr__(self, name, getattr(self, name) or value)
        multiple("model", self, "heads", "kv_heads")
        even = self.head_width % 2 == 0
        require(even, f"model.head_width is {self.head_width}; rotary positions turn pairs, so it must be even")
        one_of("model.rope_layout", self.rope_layout, LAYOUTS, "choose from")
        require(
            self.rope_base > 1 and self.rope_factor >= 1 and 0 < self.rope_low < self.rope_high,
            "model.rope_base must be above 1, rope_factor at least 1, and rope_low between 0 and rope_high",
        )
        rates("model", self, "attention_dropout")
        choice("model.attention_bias", self.attention_bias, "none", "qkv", "all")

    @property
    def rope(self) -> ops.Rope:
        scaling = ops.RopeScaling(self.rope_factor, self.rope_low, self.rope_high, self.rope_context)
        return ops.Rope(self.rope_base, self.rope_layout, scaling if self.rope_factor > 1 else None)

    def block(self) -> BlockConfig:
        return BlockConfig.of(
            self,
            pre_norm=True,
            rms_norm=True,
            activation="swiglu",
            bias=False,
            qkv_bias=self.attention_bias != "none",
            out_bias=self.attention_bias == "all",
            rope=self.rope,
            residual_std=self.init_std * self.residual_init_scale,
        )


class Llama(DecoderOnly):
    """A Llama: its blocks turn queries and keys by their positions, so nothing is added to the embedding."""

    family = "llama"
