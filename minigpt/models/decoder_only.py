"""What GPT and Llama share: tokens in, blocks that look back, and the scores of the next token out.

The two differ in what is added to an embedding, in their blocks (see `minigpt.blocks.BlockConfig`) and in the order of
norms and sums. The output layer is the token embedding, a matrix (C, V) of its own, or missing, as `tied` and
`headless` of the configuration say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from minigpt import ops
from minigpt.blocks import (
    BlockConfig,
    StackCache,
    block_specs,
    block_step,
    norm_backward,
    norm_forward,
    norm_specs,
    stack_backward,
    stack_forward,
)
from minigpt.blocks.run import EVALUATION, Run
from minigpt.core.backend import Array
from minigpt.core.errors import UserError
from minigpt.core.measures import Measures
from minigpt.core.params import Parameters, ParameterSpec
from minigpt.core.settings import at_least, require
from minigpt.data.batch import Batch
from minigpt.models.key_values import CausalState, start_causal
from minigpt.models.model import Model
from minigpt.ops import Cache


class BodyCache(NamedTuple):
    embedding: Cache
    blocks: StackCache
    final_norm: Cache


class LossCache(NamedTuple):
    body: BodyCache
    output: Cache
    loss: Cache


@dataclass(frozen=True)
class DecoderConfig:
    """What the shapes of GPT and Llama have in common.

    Attributes:
        vocab_size: V; 0 in a preset means "as many as the tokenizer has".
        context: the largest number of tokens the model sees at once.
        layers, heads, width: L, H, C.
        feed_forward: F; 0 lets the model choose.
        norm_eps: ε of the norms.
        init_std: standard deviation of initial weights.
        scaled_residual_init: whether the projections that add to the residual stream start at init_std/√(2 L) (GPT-2).
        window: 0, or how many tokens back a layer sees, its own among them.
        window_layers: a letter for each layer, w if it has the window, f if it sees the full text; repeated over the
            layers.
        tied: whether the output layer is the token embedding; else it has a matrix of its own.
        headless: whether there is no output layer: the model gives states, for embeddings, and predicts nothing.
    """

    vocab_size: int = 0
    context: int = 64
    layers: int = 2
    heads: int = 2
    width: int = 64
    feed_forward: int = 0
    norm_eps: float = 1e-5
    init_std: float = 0.02
    scaled_residual_init: bool = True
    window: int = 0
    window_layers: str = "fw"
    tied: bool = True
    headless: bool = False

    def __post_init__(self) -> None:
        at_least(1, "model", self, "context", "layers", "heads", "width")
        at_least(0, "model", self, "vocab_size", "feed_forward", "window")
        require(self.norm_eps > 0 and self.init_std > 0, "model.norm_eps and model.init_std must be positive")
        if self.tied and self.headless:
            raise UserError("model.tied says that the embedding is the output layer, model.headless that there is none")
        if not self.window_layers or self.window_layers.strip("fw"):
            raise UserError(
                f"model.window_layers is {self.window_layers!r}; write a letter for each layer, f if it sees the full "
                'text, w if the window alone, and as many as repeat, such as "fw"'
            )

    @property
    def residual_init_scale(self) -> float:
        """Each of the 2 L projections adds to the residual stream; so scaled, the sum starts at the variance of one."""
        return 1.0 / math.sqrt(2 * self.layers) if self.scaled_residual_init else 1.0

    def block(self) -> BlockConfig:
        """The blocks' part of the configuration."""
        raise NotImplementedError


def window_of(c: DecoderConfig, layer: int) -> int:
    """How many tokens back a layer sees, its own among them; 0 is all."""
    return c.window if c.window_layers[layer % len(c.window_layers)] == "w" else 0


class DecoderOnly(Model):
    """A decoder-only Transformer. It holds no state.

    Attributes:
        first_site: the number of the first block's first dropout site.
        windows: how many tokens back each layer sees (see `window_of`).
    """

    first_site = 0

    def __init__(self, config: DecoderConfig):
        super().__init__(config)
        self.windows = [window_of(config, layer) for layer in range(config.layers)]

    def embedding_specs(self) -> list[ParameterSpec]:
        """The token embedding, and what is added to it."""
        return [ParameterSpec("tokens", (self.config.vocab_size, self.config.width), self.config.init_std)]

    def body_specs(self) -> list[ParameterSpec]:
        specs = self.embedding_specs()
        for layer in range(self.config.layers):
            specs += block_specs(f"blocks.{layer}", self.block)
        return specs + norm_specs("final_norm", self.block) if self.block.pre_norm else specs

    def head_specs(self) -> list[ParameterSpec]:
        """The output layer's own matrix, where it has one."""
        c = self.config
        return [] if c.tied or c.headless else [ParameterSpec("output", (c.width, c.vocab_size), c.init_std)]

    def mask(self, layer: int, key_padding: Array | None) -> ops.Mask:
        """Every layer is causal; those with a window are banded too."""
        return ops.Mask(causal=True, window=self.windows[layer], key_padding=key_padding)

    def output_weight(self, params: Parameters) -> Array:
        """The output layer's matrix (C, V); a tied one is a view of the embedding.

        Raises:
            UserError: the model has none.
        """
        if self.config.headless:
            raise UserError(
                "this model has no output layer (lm_head), so it predicts no tokens; its hidden_states and embed work, "
                'and load(…, fresh=["lm_head."]) starts an output layer anew'
            )
        return params["tokens"].T if self.config.tied else params["output"]

    def output_gradient(self, grads: Parameters) -> tuple[Array, bool]:
        """The gradient (C, V) of that matrix, and whether it is to be overwritten (see `Scope.claim`)."""
        dweight, first = grads.claim("tokens" if self.config.tied else "output")
        return dweight.T if self.config.tied else dweight, first

    def embed_forward(self, params: Parameters, ids: Array, run: Run, positions: int | Array) -> tuple[Array, Cache]:
        """Token ids (B, T) to what the first block reads, (B, T, C)."""
        return run.ops.embedding_forward(ids, params["tokens"])

    def embed_backward(self, dx: Array, grads: Parameters, cache: Cache, run: Run) -> None:
        run.ops.embedding_backward(dx, cache, grads.into("tokens"))

    def body_forward(
        self,
        params: Parameters,
        ids: Array,
        run: Run,
        key_padding: Array | None = None,
        positions: int | Array = 0,
        layers: int | None = None,
    ) -> tuple[Array, BodyCache]:
        """Token ids (B, T) to the last layer's states (B, T, C), normalised where blocks are pre-norm.

        Args:
            key_padding: (B, T), True at real tokens; None when all are.
            positions: of the first column, or of every token, (B, T) (rows that are padded on the left).
            layers: stop behind so many blocks, before any final norm; None goes to the end.
        Raises:
            ValueError: the text is longer than the context.
        """
        if ids.shape[1] > self.config.context:
            raise ValueError(f"{ids.shape[1]} positions do not fit the model's context of {self.config.context} tokens")
        masks = [self.mask(layer, key_padding) for layer in range(self.config.layers)[:layers]]
        x, c_embedding = self.embed_forward(params, ids, run, positions)  # (B, T, C)
        x, c_blocks = stack_forward(x, params.scope("blocks"), self.block, run, self.first_site, masks, positions)
        c_final = None
        if self.block.pre_norm and layers is None:
            x, c_final = norm_forward(x, params, "final_norm", self.block, run)
        return x, BodyCache(c_embedding, c_blocks, c_final)

    def body_backward(self, dx: Array, grads: Parameters, cache: BodyCache, run: Run) -> None:
        """Gradient of the last states (B, T, C) back to every parameter."""
        if self.block.pre_norm:
            dx = norm_backward(dx, cache.final_norm, grads, "final_norm", self.block, run)
        dx = stack_backward(dx, cache.blocks, grads.scope("blocks"), self.block, run)
        self.embed_backward(dx, grads, cache.embedding, run)

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

    def forward(self, params: Parameters, batch: Batch, run: Run = EVALUATION) -> tuple[float, LossCache]:
        """Mean cross-entropy (nats per token) of the batch's targets, and the cache for `backward`."""
        x, c_body = self.body_forward(params, batch.inputs, run, batch.key_padding)
        logits, c_output = run.ops.linear_forward(x, self.output_weight(params))  # (B, T, C) @ (C, V)
        loss, c_loss = run.ops.cross_entropy_forward(logits, batch.targets, denominator=run.denominators.get("tokens"))
        return loss, LossCache(c_body, c_output, c_loss)

    def measures(self, cache: LossCache) -> Measures:
        """The loss says it all."""
        return {}

    def backward(
        self,
        params: Parameters,
        grads: Parameters,
        cache: LossCache,
        run: Run = EVALUATION,
        scale: float = 1.0,
    ) -> None:
        """Add scale times the gradient of the loss to `grads`.

        A tied matrix is reached twice: here as the output layer, and at the end as the embedding.
        """
        dlogits = run.ops.cross_entropy_backward(scale, cache.loss)
        dweight, first = self.output_gradient(grads)
        dx = run.ops.linear_backward(dlogits, cache.output, dweight, first=first)
        self.body_backward(dx, grads, cache.body, run)

    def start(self, params: Parameters, batch: Batch, max_len: int, run: Run = EVALUATION) -> CausalState:
        """The state of texts of which nothing was read yet.

        Args:
            batch: its rows and their padding (on the left) are looked at; the first `step` reads its tokens.
            max_len: the largest number of columns, padding included.
        """
        return start_causal(self.block, self.config.layers, params, batch, max_len, run)

    def step(self, params: Parameters, ids: Array, state: CausalState) -> tuple[Array, CausalState]:
        """Read the next tokens (R, n) of every text, and return the scores (R, V) of what may follow them."""
        run, tokens = state.run, ids.shape[1]
        positions = state.next_positions(tokens)
        x, _ = self.embed_forward(params, ids, run, positions)  # (R, n, C)
        for layer in range(self.config.layers):
            p, append = params.scope(f"blocks.{layer}"), partial(state.own.append, layer)
            mask = state.masked(self.mask(layer, None), tokens)
            x = block_step(x, p, self.block, run, append, mask, positions)
        x = x[:, -1]
        if self.block.pre_norm:
            x, _ = norm_forward(x, params, "final_norm", self.block, run)
        return run.ops.linear_forward(x, self.output_weight(params))[0], state.advanced(tokens)
