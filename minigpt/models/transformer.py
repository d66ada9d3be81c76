"""The Transformer (Vaswani et al. 2017, "Attention Is All You Need"): an encoder and a decoder, sequence to sequence.

Post-norm throughout, with no norm at the end of a stack; ReLU; positions that are not learned but made of sines and
cosines; and one matrix for source embedding, target embedding and output, times √C where it embeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType

from minigpt.blocks import BlockConfig
from minigpt.core.backend import Array, array_module
from minigpt.core.params import Parameters, ParameterSpec
from minigpt.core.settings import choice
from minigpt.models.encoder_decoder import Seq2Seq, StacksConfig
from minigpt.ops import sinusoid_table


@dataclass(frozen=True)
class TransformerConfig(StacksConfig):
    """The shape of a Transformer; ε of the norms is 1e-6 in the authors' code, 1e-5 in PyTorch's layers.

    Attributes:
        attention_bias: whether the projections of attention have biases (not in the authors' code).
        positions: "interleaved" sines and cosines (the paper) or "halves" (its code).
    """

    label_smoothing: float = 0.1
    norm_eps: float = 1e-6
    attention_bias: bool = False
    positions: str = "interleaved"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("model.positions", self.positions, "interleaved", "halves")

    @property
    def embedding_std(self) -> float:
        """1/√C: times √C, embeddings enter with variance 1, and logits, sums over C, leave with about as much."""
        return 1.0 / math.sqrt(self.width)

    def block(self) -> BlockConfig:
        return BlockConfig.of(self, qkv_bias=self.attention_bias, out_bias=self.attention_bias)


class Transformer(Seq2Seq):
    """A Transformer: configuration, parameter specification, forward and backward. It holds no state."""

    config: TransformerConfig
    family = "transformer"

    def __init__(self, config: TransformerConfig):
        self.embedding_scale = math.sqrt(config.width)
        super().__init__(config)

    def body_specs(self) -> list[ParameterSpec]:
        return [_glorot(spec) for spec in super().body_specs()]

    def position_table(self, params: Parameters, side: str) -> Array:
        c = self.config
        return _sinusoids(c.context, c.width, c.positions, params.flat.dtype.name, array_module(params.flat))


def _glorot(spec: ParameterSpec) -> ParameterSpec:
    """Matrices start at variance 2/(inputs + outputs) (Glorot & Bengio 2010), each of the fused ones for itself."""
    if not spec.name.endswith(".weight"):
        return spec
    fused = 3 if spec.name.endswith(".qkv.weight") else 2 if spec.name.endswith(".kv.weight") else 1
    inputs, outputs = spec.shape
    return spec._replace(std=math.sqrt(2.0 / (inputs + outputs // fused)))


@lru_cache(maxsize=8)
def _sinusoids(length: int, width: int, layout: str, dtype: str, xp: ModuleType) -> Array:
    return xp.asarray(sinusoid_table(length, width, layout=layout), dtype=dtype)
