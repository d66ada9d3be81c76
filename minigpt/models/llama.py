"""Llama (Touvron et al. 2023): a decoder-only Transformer with the choices that most later models kept.

Against GPT-2 it has RMSNorm for LayerNorm, SwiGLU for GELU, rotary positions in every layer for a learned table, an
output layer of its own, and no biases; since Llama 2 70B also fewer key-value heads than query heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from minigpt import ops
from minigpt.backend import Array, Backend
from minigpt.blocks import (
    SITES_PER_BLOCK,
    BlockConfig,
    block_backward,
    block_forward,
    block_specs,
    norm_backward,
    norm_forward,
    norm_specs,
)
from minigpt.data.batch import Batch
from minigpt.errors import UserError
from minigpt.measures import Measures
from minigpt.models.causal_state import CausalState, start_causal, step_blocks
from minigpt.models.output_layer import check_ends, check_output, output_specs
from minigpt.ops.rope import LAYOUTS
from minigpt.params import Parameters, ParameterSpec, decayed_first, initialize
from minigpt.run import EVALUATION, Run


def feed_forward_width(width: int, multiplier: float = 1.0, multiple: int = 256) -> int:
    """F of Meta's models: two thirds of 4 C (a gate costs a third matrix), times a factor, rounded up to a multiple.

    Llama 2 70B has multiplier 1.3 and multiple 4096, Llama 3 8B 1.3 and 1024.
    """
    hidden = int(multiplier * int(2 * 4 * width / 3))
    return -(-hidden // multiple) * multiple


@dataclass(frozen=True)
class LlamaConfig:
    """The shape of a Llama.

    Attributes:
        vocab_size: V; 0 in a preset means "as many as the tokenizer has".
        context: the largest number of tokens the model sees at once.
        layers, heads, width: L, H, C.
        kv_heads: G, which divides H; 0 means H (Llama 1, the smaller Llama 2).
        head_width: D, even; 0 means C/H, and then H divides C.
        feed_forward: F; 0 means `feed_forward_width(C)`.
        tied: whether the output layer is the token embedding (small models); else it has a matrix of its own.
        rope_base: 10,000 in Llama 1 and 2, 500,000 in Llama 3.
        rope_layout: "half" as Hugging Face lays a head out, "interleaved" as Meta does; the models are equivalent.
        rope_factor, rope_low, rope_high, rope_context: Llama 3.1's scaling (see `ops.RopeScaling`); a factor of 1 is
            none.
        norm_eps: ε of the norms; 1e-6 in Llama 1.
        attention_dropout: the rate on attention probabilities while training (none in Meta's models).
        init_std: standard deviation of initial weights.
        scaled_residual_init: whether the projections that add to the residual stream start at init_std/√(2 L), as
            GPT-2's do (the paper says nothing of it).
        headless: whether there is no output layer: the model gives states, for embeddings, and predicts nothing.
    """

    vocab_size: int = 0
    context: int = 64
    layers: int = 2
    heads: int = 2
    width: int = 64
    kv_heads: int = 0
    head_width: int = 0
    feed_forward: int = 0
    tied: bool = False
    rope_base: float = 10000.0
    rope_layout: str = "half"
    rope_factor: float = 1.0
    rope_low: float = 1.0
    rope_high: float = 4.0
    rope_context: int = 8192
    norm_eps: float = 1e-5
    init_std: float = 0.02
    scaled_residual_init: bool = True
    attention_dropout: float = 0.0
    headless: bool = False

    def __post_init__(self) -> None:
        for name in ("context", "layers", "heads", "width", "rope_context"):
            if getattr(self, name) < 1:
                raise UserError(f"model.{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("vocab_size", "kv_heads", "head_width", "feed_forward"):
            if getattr(self, name) < 0:
                raise UserError(f"model.{name} is {getattr(self, name)}; it must not be negative")
        if not self.head_width and self.width % self.heads:
            raise UserError(f"model.width {self.width} is not a multiple of model.heads {self.heads}")
        for name, value in {
            "kv_heads": self.heads,
            "head_width": self.width // self.heads,
            "feed_forward": feed_forward_width(self.width),
        }.items():
            object.__setattr__(self, name, getattr(self, name) or value)
        if self.heads % self.kv_heads:
            raise UserError(f"model.heads {self.heads} is not a multiple of model.kv_heads {self.kv_heads}")
        if self.head_width % 2:
            raise UserError(f"model.head_width is {self.head_width}; rotary positions turn pairs, so it must be even")
        if self.rope_layout not in LAYOUTS:
            raise UserError(f"model.rope_layout is {self.rope_layout!r}; choose from {', '.join(LAYOUTS)}")
        if not (self.rope_base > 1 and self.rope_factor >= 1 and 0 < self.rope_low < self.rope_high):
            raise UserError(
                "model.rope_base must be above 1, rope_factor at least 1, and rope_low between 0 and rope_high"
            )
        if not (self.norm_eps > 0 and self.init_std > 0):
            raise UserError("model.norm_eps and model.init_std must be positive")
        if not 0.0 <= self.attention_dropout < 1.0:
            raise UserError(f"model.attention_dropout is {self.attention_dropout}; it must be at least 0 and below 1")
        check_ends(self)

    @property
    def rope(self) -> ops.Rope:
        scaling = ops.RopeScaling(self.rope_factor, self.rope_low, self.rope_high, self.rope_context)
        return ops.Rope(self.rope_base, self.rope_layout, scaling if self.rope_factor > 1 else None)

    def block(self) -> BlockConfig:
        """The blocks' part of the configuration."""
        residual_scale = 1.0 / math.sqrt(2 * self.layers) if self.scaled_residual_init else 1.0
        return BlockConfig(
            self.width,
            self.heads,
            self.feed_forward,
            kv_heads=self.kv_heads,
            head_width=self.head_width,
            norm="pre",
            norm_kind="rmsnorm",
            norm_eps=self.norm_eps,
            activation="swiglu",
            bias=False,
            attention_dropout=self.attention_dropout,
            rope=self.rope,
            init_std=self.init_std,
            residual_std=self.init_std * residual_scale,
        )


class BodyCache(NamedTuple):
    tokens: Any
    blocks: list[Any]
    final_norm: Any


class LlamaCache(NamedTuple):
    body: BodyCache
    output: Any
    loss: Any


class Llama:
    """A Llama: configuration, parameter specification, forward and backward. It holds no state."""

    family = "llama"

    def __init__(self, config: LlamaConfig):
        if config.vocab_size < 1:
            raise UserError("model.vocab_size is 0; give the size of the vocabulary")
        self.config, self.block = config, config.block()
        self.specs = decayed_first(self._specs())

    def _specs(self) -> list[ParameterSpec]:
        c = self.config
        specs = [ParameterSpec("tokens", (c.vocab_size, c.width), c.init_std)]
        for layer in range(c.layers):
            specs += block_specs(f"blocks.{layer}", self.block)
        specs += norm_specs("final_norm", self.block)
        return specs + output_specs(c)

    @property
    def parameter_count(self) -> int:
        return sum(spec.size for spec in self.specs)

    @property
    def head_width(self) -> int:
        return self.block.head_width

    def init(self, seed: int = 0, dtype: str = "float32", backend: Backend | str = "numpy") -> Parameters:
        """Draw initial parameters: normal weights, unit gains."""
        return initialize(self.specs, seed=seed, dtype=dtype, backend=backend)

    def mask(self, layer: int, key_padding: Array | None) -> ops.Mask:
        """Every layer is causal."""
        return ops.Mask(causal=True, key_padding=key_padding)

    def output_weight(self, params: Parameters) -> Array:
        """The output layer's matrix (C, V) among parameters or gradients; a tied one is a view of the embedding.

        Raises:
            UserError: the model has none.
        """
        check_output(self.config)
        return params["tokens"].T if self.config.tied else params["output"]

    def body_forward(
        self,
        params: Parameters,
        ids: Array,
        run: Run,
        key_padding: Array | None = None,
        positions: int | Array = 0,
        layers: int | None = None,
    ) -> tuple[Array, BodyCache]:
        """Token ids (B, T) to the normalised states after the last layer (B, T, C).

        Args:
            key_padding: (B, T), True at real tokens; None when all are.
            positions: of the first column, or of every token, (B, T) (rows that are padded on the left).
            layers: stop behind so many blocks, before the final norm; None goes to the end.
        Raises:
            ValueError: the text is longer than the context (nothing in the model would notice).
        """
        if ids.shape[1] > self.config.context:
            raise ValueError(f"{ids.shape[1]} positions do not fit the model's context of {self.config.context} tokens")
        x, c_tokens = run.ops.embedding_forward(ids, params["tokens"])  # (B, T, C)
        c_blocks = []
        for layer in range(self.config.layers if layers is None else layers):
            p, site = params.scope(f"blocks.{layer}"), layer * SITES_PER_BLOCK
            x, cache = block_forward(x, p, self.block, run, site, self.mask(layer, key_padding), positions)
            c_blocks.append(cache)
        c_final = None
        if layers is None:
            x, c_final = norm_forward(x, params, "final_norm", self.block, run)
        return x, BodyCache(c_tokens, c_blocks, c_final)

    def body_backward(self, dx: Array, grads: Parameters, cache: BodyCache, run: Run) -> None:
        """Gradient of the last states (B, T, C) back to every parameter."""
        dx = norm_backward(dx, cache.final_norm, grads, "final_norm", self.block, run)
        for layer in reversed(range(self.config.layers)):
            dx = block_backward(dx, cache.blocks[layer], grads.scope(f"blocks.{layer}"), self.block, run)
        run.ops.embedding_backward(dx, cache.tokens, grads["tokens"])

    def logits(
        self,
        params: Parameters,
        ids: Array,
        run: Run = EVALUATION,
        key_padding: Array | None = None,
        positions: int | Array = 0,
        at: tuple[Array, Array] | None = None,
    ) -> Array:
        """Scores of every possible next token at every position: (B, T) to (B, T, V).

        Args:
            at: rows and columns (N,) of the positions that are wanted; the scores are then (N, V).
        """
        x, _ = self.body_forward(params, ids, run, key_padding, positions)
        if at is not None:
            x = x[at]  # (N, C): the output layer is a good part of a small model's work
        return run.ops.linear_forward(x, self.output_weight(params))[0]

    def start(self, params: Parameters, batch: Batch, max_len: int, run: Run = EVALUATION) -> CausalState:
        """The state of texts of which nothing was read yet.

        Args:
            batch: its rows and their padding (on the left) are looked at; the first `step` reads its tokens.
            max_len: the largest number of columns, padding included.
        """
        return start_causal(self, params, batch, max_len, run)

    def step(self, params: Parameters, ids: Array, state: CausalState) -> tuple[Array, CausalState]:
        """Read the next tokens (R, n) of every text, and return the scores (R, V) of what may follow them."""
        run, tokens = state.run, ids.shape[1]
        x, _ = run.ops.embedding_forward(ids, params["tokens"])  # (R, n, C)
        x = step_blocks(self, params, x, state)
        x, _ = norm_forward(x, params, "final_norm", self.block, run)
        return run.ops.linear_forward(x, self.output_weight(params))[0], state.advanced(tokens)

    def forward(self, params: Parameters, batch: Batch, run: Run = EVALUATION) -> tuple[float, LlamaCache]:
        """Mean cross-entropy (nats per token) of the batch's targets, and the cache for `backward`."""
        x, c_body = self.body_forward(params, batch.inputs, run, batch.key_padding)
        logits, c_output = run.ops.linear_forward(x, self.output_weight(params))  # (B, T, C) @ (C, V)
        loss, c_loss = run.ops.cross_entropy_forward(logits, batch.targets, denominator=run.denominators.get("tokens"))
        return loss, LlamaCache(c_body, c_output, c_loss)

    def measures(self, cache: LlamaCache) -> Measures:
        """The loss says it all."""
        return {}

    def backward(
        self,
        params: Parameters,
        grads: Parameters,
        cache: LlamaCache,
        run: Run = EVALUATION,
        scale: float = 1.0,
    ) -> None:
        """Add scale times the gradient of the loss to `grads`."""
        dlogits = run.ops.cross_entropy_backward(scale, cache.loss)
        dx = run.ops.linear_backward(dlogits, cache.output, self.output_weight(grads))
        self.body_backward(dx, grads, cache.body, run)
