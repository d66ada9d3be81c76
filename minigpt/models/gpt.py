"""GPT, GPT-2 and GPT-3: one decoder-only Transformer whose configuration tells them apart.

GPT (Radford et al. 2018) normalises after each residual sum and has no final norm; GPT-2 (2019) normalises before each
sub-layer, adds a final norm and scales down what first flows into the residual stream; GPT-3 (Brown et al. 2020) lets
every second layer look back over a window only. All of them share the token embedding with the output layer. So does
GPT-Neo (Black et al. 2021), a GPT-3 without biases of queries, keys and values that does not scale attention's scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from minigpt import ops
from minigpt.blocks import BlockConfig
from minigpt.blocks.run import Run
from minigpt.core.backend import Array, Backend, array_module
from minigpt.core.params import Parameters, ParameterSpec
from minigpt.core.settings import choice, multiple, one_of, rates
from minigpt.models.decoder_only import DecoderConfig, DecoderOnly
from minigpt.ops import Cache
from minigpt.ops.sinusoid import sinusoid_table


@dataclass(frozen=True)
class GPTConfig(DecoderConfig):
    """The shape of a GPT: H divides C, F is 4 C unless it says otherwise, and the window is GPT-3's banded attention.

    Attributes:
        norm: "pre" (GPT-2: norm before each sub-layer, and a final norm) or "post" (GPT: after each sum, no final one).
        activation: "gelu_tanh" (all GPTs), "gelu_erf" or "relu".
        bias: whether linear layers and norms have biases.
        dropout: the rate on embeddings, attention probabilities and sub-layer outputs while training.
        qkv_bias: whether queries, keys and values have biases where `bias` is set (not GPT-Neo's).
        scaled_scores: whether attention's scores are divided by √D (not GPT-Neo's).
        positions_init: how the learned positions start: "normal" (all GPTs) or "sinusoidal", as the sines and cosines
            of the Transformer, in the size of init_std, with wavelengths up to 2π · context. Looking one token back is
            then a rotation, the same at all positions, so a short training learns it sooner.
    """

    norm: str = "pre"
    activation: str = "gelu_tanh"
    bias: bool = True
    dropout: float = 0.0
    qkv_bias: bool = True
    scaled_scores: bool = True
    positions_init: str = "normal"

    def __post_init__(self) -> None:
        if not self.feed_forward:
            object.__setattr__(self, "feed_forward", 4 * self.width)
        super().__post_init__()
        multiple("model", self, "width", "heads")
        choice("model.norm", self.norm, "pre", "post")
        one_of("model.activation", self.activation, ops.ACTIVATIONS, "choose from")
        rates("model", self, "dropout")
        choice("model.positions_init", self.positions_init, "normal", "sinusoidal")

    def block(self) -> BlockConfig:
        return BlockConfig.of(
            self,
            pre_norm=self.norm == "pre",
            qkv_bias=self.bias and self.qkv_bias,
            scale=None if self.scaled_scores else 1.0,
            attention_dropout=self.dropout,
            residual_std=self.init_std * self.residual_init_scale,
        )


class EmbeddingCache(NamedTuple):
    tokens: Cache
    positions: Cache
    dropout: Cache


class GPT(DecoderOnly):
    """A GPT: token and learned position embeddings under the blocks."""

    config: GPTConfig
    family = "gpt"
    first_site = 1  # 0 is the embedding's

    def embedding_specs(self) -> list[ParameterSpec]:
        c = self.config
        return [*super().embedding_specs(), ParameterSpec("positions", (c.context, c.width), c.init_std)]

    def init(self, seed: int = 0, dtype: str = "float32", backend: Backend | str = "numpy") -> Parameters:
        """Draw initial parameters: normal weights, zero biases, unit gains."""
        c, params = self.config, super().init(seed, dtype, backend)
        if c.positions_init == "sinusoidal":
            xp, positions = array_module(params.flat), params["positions"]
            table = math.sqrt(2) * c.init_std * sinusoid_table(c.context, c.width, base=c.context)  # rms init_std
            positions[...] = xp.asarray(table, dtype=positions.dtype)
        return params

    def embed_forward(
        self, params: Parameters, ids: Array, run: Run, positions: int | Array
    ) -> tuple[Array, EmbeddingCache]:
        """Token ids (B, T) to embedding + position, (B, T, C)."""
        x, c_tokens = run.ops.embedding_forward(ids, params["tokens"])
        x, c_positions = run.ops.position_forward(x, params["positions"], positions=positions)
        x, c_dropout = run.ops.dropout_forward(x, self.config.dropout, run.dropout_key(0))
        return x, EmbeddingCache(c_tokens, c_positions, c_dropout)

    def embed_backward(self, dx: Array, grads: Parameters, cache: EmbeddingCache, run: Run) -> None:
        dx = run.ops.dropout_backward(dx, cache.dropout)
        dx = run.ops.position_backward(dx, cache.positions, grads.into("positions"))
        run.ops.embedding_backward(dx, cache.tokens, grads.into("tokens"))
