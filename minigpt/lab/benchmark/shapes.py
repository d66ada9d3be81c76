"""The models and batches whose speed is measured."""

from __future__ import annotations

from typing import NamedTuple

from minigpt.models import GPTConfig, LlamaConfig


class Shape(NamedTuple):
    """A GPT-2 and the batch that one step sees."""

    layers: int
    heads: int
    width: int
    context: int
    batch: int
    vocab_size: int
    about: str = ""

    @property
    def config(self) -> GPTConfig:
        return GPTConfig(self.vocab_size, self.context, self.layers, self.heads, self.width)

    @property
    def tokens(self) -> int:
        return self.batch * self.context


SHAPES = {
    "S": Shape(4, 4, 128, 64, 12, 65, "nanoGPT's CPU recipe"),
    "M": Shape(6, 6, 384, 256, 8, 65, "a 10M-parameter character model"),
    "L": Shape(12, 12, 768, 256, 1, 50257, "GPT-2 124M, one row"),
    "T2048": Shape(6, 6, 384, 2048, 1, 65, "M with one row of 2,048 tokens"),
}
LLAMAS = {  # whose reading of a prompt is timed
    "SmolLM": LlamaConfig(49152, 2048, 30, 9, 576, kv_heads=3, feed_forward=1536, tied=True),  # 135M parameters
}
GPU_SHAPES = {
    "M": Shape(6, 6, 384, 256, 64, 65, "a 10M-parameter character model"),
    "G": Shape(12, 12, 768, 1024, 16, 50257, "GPT-2 124M, 16 rows"),
}
