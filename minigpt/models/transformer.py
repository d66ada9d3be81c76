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
from minigpt.models.encoder_decoder import Seq2Seq, check_ids, check_shape
from minigpt.ops import sinusoid_table


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of a Transformer.

    Attributes:
        vocab_size: V, shared by source and target; 0 in a preset means "as many as the tokenizer has".
        context: the largest number of tokens of a source or a target.
        encoder_layers, decoder_layers, heads, width: L, H, C; H divides C.
        feed_forward: F; 0 means 4 C.
        activation: "relu", or a GELU.
        attention_bias: whether the projections of attention have biases (not in the authors' code).
        dropout: the rate on embeddings and sub-layer outputs while training; attention_dropout: on attention
            probabilities; activation_dropout: inside the feed-forward layer.
        label_smoothing: ε, spread over the V − 1 wrong tokens while training.
        positions: "interleaved" sines and cosines (the paper) or "halves" (its code).
        norm_eps: ε of the norms; the authors' code has 1e-6, PyTorch's layers 1e-5.
        pad, eos: the ids of `<pad>` and `</s>`; source and target end with `</s>`.
        start: the id that the decoder starts from, `</s>`.
    """

    vocab_size: int = 0
    context: int = 64
    encoder_layers: int = 2
    decoder_layers: int = 2
    heads: int = 2
    width: int = 64
    feed_forward: int = 0
    activation: str = "relu"
    attention_bias: bool = False
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    label_smoothing: float = 0.1
    positions: str = "interleaved"
    norm_eps: float = 1e-6
    pad: int = 1
    eos: int = 2
    start: int = 2

    def __post_init__(self) -> None:
        if not self.feed_forward:
            object.__setattr__(self, "feed_forward", 4 * self.width)
        check_shape(self)
        check_ids(self, "pad", "eos")
        choice("model.positions", self.positions, "interleaved", "halves")

    @property
    def embedding_std(self) -> float:
        """1/√C: times √C, embeddings enter with variance 1, and logits, sums over C, leave with about as much."""
        return 1.0 / math.sqrt(self.width)

    def block(self) -> BlockConfig:
        return BlockConfig.of(self, qkv_bias=self.attention_bias, out_bias=self.attention_bias)

    def decoder_block(self) -> BlockConfig:
        return self.block()


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
