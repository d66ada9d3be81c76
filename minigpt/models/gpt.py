"""GPT, GPT-2 and GPT-3: one decoder-only Transformer whose configuration tells them apart.

GPT (Radford et al. 2018) normalises after each residual sum and has no final norm; GPT-2 (2019) normalises before each
sub-layer, adds a final norm and scales down what first flows into the residual stream; GPT-3 (Brown et al. 2020) lets
every second layer look back over a window only. All of them share the token embedding with the output layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from minigpt import ops
from minigpt.backend import Array, Backend, array_module
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
from minigpt.ops.sinusoid import sinusoid_table
from minigpt.params import Parameters, ParameterSpec, decayed_first, initialize
from minigpt.run import EVALUATION, Run


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a GPT.

    Attributes:
        vocab_size: V; 0 in a preset means "as many as the tokenizer has".
        context: the largest number of tokens the model sees at once, and of learned positions.
        layers, heads, width: L, H, C; H divides C.
        feed_forward: F; 0 means 4 C.
        norm: "pre" (GPT-2: norm before each sub-layer, and a final norm) or "post" (GPT: after each sum, no final one).
        activation: "gelu_tanh" (all GPTs), "gelu_erf" or "relu".
        bias: whether linear layers and norms have biases.
        dropout: the rate on embeddings, attention probabilities and sub-layer outputs while training.
        window: 0, or GPT-3's banded attention: layers 1, 3, 5, … see only the last `window` tokens.
        norm_eps: ε of the norms.
        init_std: standard deviation of initial weights.
        scaled_residual_init: whether attention and MLP output projections start at init_std/√(2 L) (GPT-2).
        positions_init: how the learned positions start: "normal" (all GPTs) or "sinusoidal", as the sines and cosines
            of the Transformer, in the size of init_std, with wavelengths up to 2π · context. Looking one token back is
            then a rotation, the same at all positions, so a short training learns it sooner.
        tied: whether the output layer is the token embedding (all GPTs); else it has a matrix of its own.
        headless: whether there is no output layer: the model gives states, for embeddings, and predicts nothing.
    """

    vocab_size: int = 0
    context: int = 64
    layers: int = 2
    heads: int = 2
    width: int = 64
    feed_forward: int = 0
    norm: str = "pre"
    activation: str = "gelu_tanh"
    bias: bool = True
    dropout: float = 0.0
    window: int = 0
    norm_eps: float = 1e-5
    init_std: float = 0.02
    scaled_residual_init: bool = True
    positions_init: str = "normal"
    tied: bool = True
    headless: bool = False

    def __post_init__(self) -> None:
        if not self.feed_forward:
            object.__setattr__(self, "feed_forward", 4 * self.width)
        for name in ("context", "layers", "heads", "width", "feed_forward"):
            if getattr(self, name) < 1:
                raise UserError(f"model.{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("vocab_size", "window"):
            if getattr(self, name) < 0:
                raise UserError(f"model.{name} is {getattr(self, name)}; it must not be negative")
        if self.width % self.heads:
            raise UserError(f"model.width {self.width} is not a multiple of model.heads {self.heads}")
        if self.norm not in ("pre", "post"):
            raise UserError(f'model.norm is {self.norm!r}; choose "pre" or "post"')
        if self.activation not in ops.ACTIVATIONS:
            raise UserError(f"model.activation is {self.activation!r}; choose from {', '.join(ops.ACTIVATIONS)}")
        if not 0.0 <= self.dropout < 1.0:
            raise UserError(f"model.dropout is {self.dropout}; it must be at least 0 and below 1")
        if not (self.norm_eps > 0 and self.init_std > 0):
            raise UserError("model.norm_eps and model.init_std must be positive")
        check_ends(self)
        if self.positions_init not in ("normal", "sinusoidal"):
            raise UserError(f'model.positions_init is {self.positions_init!r}; choose "normal" or "sinusoidal"')

    @property
    def residual_init_scale(self) -> float:
        """Each of the 2 L projections adds to the residual stream; so scaled, the sum starts at the variance of one."""
        return 1.0 / math.sqrt(2 * self.layers) if self.scaled_residual_init else 1.0

    def block(self) -> BlockConfig:
        """The blocks' part of the configuration."""
        return BlockConfig(
            self.width,
            self.heads,
            self.feed_forward,
            norm=self.norm,
            norm_eps=self.norm_eps,
            activation=self.activation,
            bias=self.bias,
            dropout=self.dropout,
            attention_dropout=self.dropout,
            init_std=self.init_std,
            residual_std=self.init_std * self.residual_init_scale,
        )


class BodyCache(NamedTuple):
    tokens: Any
    positions: Any
    dropout: Any
    blocks: list[Any]
    final_norm: Any


class GPTCache(NamedTuple):
    body: BodyCache
    output: Any
    loss: Any


class GPT:
    """A GPT: configuration, parameter specification, forward and backward. It holds no state."""

    family = "gpt"

    def __init__(self, config: GPTConfig):
        if config.vocab_size < 1:
            raise UserError("model.vocab_size is 0; give the size of the vocabulary")
        self.config, self.block = config, config.block()
        self.specs = decayed_first(self._specs())

    def _specs(self) -> list[ParameterSpec]:
        c = self.config
        specs = [
            ParameterSpec("tokens", (c.vocab_size, c.width), c.init_std),
            ParameterSpec("positions", (c.context, c.width), c.init_std),
        ]
        for layer in range(c.layers):
            specs += block_specs(f"blocks.{layer}", self.block)
        specs += norm_specs("final_norm", self.block) if c.norm == "pre" else []
        return specs + output_specs(c)

    @property
    def parameter_count(self) -> int:
        return sum(spec.size for spec in self.specs)

    @property
    def head_width(self) -> int:
        return self.block.head_width

    def init(self, seed: int = 0, dtype: str = "float32", backend: Backend | str = "numpy") -> Parameters:
        """Draw initial parameters: normal weights, zero biases, unit gains."""
        c, params = self.config, initialize(self.specs, seed=seed, dtype=dtype, backend=backend)
        if c.positions_init == "sinusoidal":
            xp, positions = array_module(params.flat), params["positions"]
            table = math.sqrt(2) * c.init_std * sinusoid_table(c.context, c.width, base=c.context)  # rms init_std
            positions[...] = xp.asarray(table, dtype=positions.dtype)
        return params

    def mask(self, layer: int, key_padding: Array | None) -> ops.Mask:
        """Every layer is causal; with a window, every second one is banded too."""
        return ops.Mask(causal=True, window=self.config.window if layer % 2 else 0, key_padding=key_padding)

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
        """Token ids (B, T) to the last layer's states (B, T, C).

        Args:
            key_padding: (B, T), True at real tokens; None when all are.
            positions: of the first column, or of every token, (B, T) (rows that are padded on the left).
            layers: stop behind so many blocks, before any final norm; None goes to the end.
        """
        c = self.config
        x, c_tokens = run.ops.embedding_forward(ids, params["tokens"])  # (B, T, C)
        x, c_positions = run.ops.position_forward(x, params["positions"], positions=positions)
        x, c_dropout = run.ops.dropout_forward(x, c.dropout, run.dropout_key(0))
        c_blocks = []
        for layer in range(c.layers if layers is None else layers):
            p, site = params.scope(f"blocks.{layer}"), 1 + layer * SITES_PER_BLOCK
            x, cache = block_forward(x, p, self.block, run, site, self.mask(layer, key_padding), positions)
            c_blocks.append(cache)
        c_final = None
        if c.norm == "pre" and layers is None:
            x, c_final = norm_forward(x, params, "final_norm", self.block, run)
        return x, BodyCache(c_tokens, c_positions, c_dropout, c_blocks, c_final)

    def body_backward(self, dx: Array, grads: Parameters, cache: BodyCache, run: Run) -> None:
        """Gradient of the last states (B, T, C) back to every parameter."""
        c = self.config
        if c.norm == "pre":
            dx = norm_backward(dx, cache.final_norm, grads, "final_norm", self.block, run)
        for layer in reversed(range(c.layers)):
            dx = block_backward(dx, cache.blocks[layer], grads.scope(f"blocks.{layer}"), self.block, run)
        dx = run.ops.dropout_backward(dx, cache.dropout)
        dx = run.ops.position_backward(dx, cache.positions, grads["positions"])
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
        x, _ = run.ops.position_forward(x, params["positions"], positions=state.next_positions(tokens))
        x = step_blocks(self, params, x, state)
        if self.config.norm == "pre":
            x, _ = norm_forward(x, params, "final_norm", self.block, run)
        return run.ops.linear_forward(x, self.output_weight(params))[0], state.advanced(tokens)

    def forward(self, params: Parameters, batch: Batch, run: Run = EVALUATION) -> tuple[float, GPTCache]:
        """Mean cross-entropy (nats per token) of the batch's targets, and the cache for `backward`."""
        x, c_body = self.body_forward(params, batch.inputs, run, batch.key_padding)
        logits, c_output = run.ops.linear_forward(x, self.output_weight(params))  # (B, T, C) @ (C, V)
        loss, c_loss = run.ops.cross_entropy_forward(logits, batch.targets, denominator=run.denominators.get("tokens"))
        return loss, GPTCache(c_body, c_output, c_loss)

    def measures(self, cache: GPTCache) -> Measures:
        """The loss says it all."""
        return {}

    def backward(
        self,
        params: Parameters,
        grads: Parameters,
        cache: GPTCache,
        run: Run = EVALUATION,
        scale: float = 1.0,
    ) -> None:
        """Add scale times the gradient of the loss to `grads`.

        A tied matrix is reached twice: here as the output layer, and at the end as the embedding.
        """
        dlogits = run.ops.cross_entropy_backward(scale, cache.loss)
        first = grads.first("tokens" if self.config.tied else "output")
        dx = run.ops.linear_backward(dlogits, cache.output, self.output_weight(grads), first=first)
        self.body_backward(dx, grads, cache.body, run)
