"""What the first Transformer and BART share: an encoder reads a source, a decoder writes a target looking at both.

The encoder's blocks see the whole source; the decoder's blocks see the target so far and, through cross-attention, the
encoder's output, the memory. Every decoder layer uses the same memory, so on the way back each of them adds its
gradient into one `dmemory`, which then goes through the encoder. One matrix embeds source and target and gives the
output scores.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from minigpt import ops
from minigpt.blocks import (
    SITES_PER_BLOCK,
    SITES_PER_DECODER_BLOCK,
    BlockConfig,
    Memory,
    StackCache,
    block_specs,
    block_step,
    memory_kv_forward,
    norm_backward,
    norm_forward,
    norm_specs,
    stack_backward,
    stack_forward,
)
from minigpt.blocks.run import EVALUATION, Run
from minigpt.core.backend import Array
from minigpt.core.measures import Measures
from minigpt.core.params import Parameters, ParameterSpec
from minigpt.core.settings import at_least, multiple, one_of, rates, require
from minigpt.data.seq2seq import Seq2SeqBatch, given
from minigpt.models.key_values import DecoderState, empty_key_values
from minigpt.models.label_loss import right_answers
from minigpt.models.model import Model
from minigpt.ops import Cache


class EmbeddingCache(NamedTuple):
    tokens: Cache
    positions: Cache
    norm: Cache
    dropout: Cache


class SideCache(NamedTuple):
    embedding: EmbeddingCache
    blocks: StackCache


class BodyCache(NamedTuple):
    encoder: SideCache
    decoder: SideCache
    memory: Array  # (B, S, C)


class LossCache(NamedTuple):
    body: BodyCache
    output: Cache
    loss: Cache
    measures: Measures  # how often the most probable token was the right one


@dataclass(frozen=True)
class StacksConfig:
    """What the shapes of the first Transformer and of BART have in common.

    Attributes:
        vocab_size: V, shared by source and target; 0 in a preset means "as many as the tokenizer has".
        context: the largest number of tokens of a source or a target.
        encoder_layers, decoder_layers, heads, width: L, H, C; H divides C.
        feed_forward: F; 0 means 4 C.
        activation: "relu", or a GELU.
        dropout: the rate on embeddings and sub-layer outputs while training; attention_dropout: on attention
            probabilities; activation_dropout: inside the feed-forward layer.
        label_smoothing: ε, spread over the V − 1 wrong tokens while training.
        norm_eps: ε of the norms.
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
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    label_smoothing: float = 0.0
    norm_eps: float = 1e-5
    pad: int = 1
    eos: int = 2
    start: int = 2

    def __post_init__(self) -> None:
        if not self.feed_forward:
            object.__setattr__(self, "feed_forward", 4 * self.width)
        at_least(1, "model", self, "context", "encoder_layers", "decoder_layers", "heads", "width", "feed_forward")
        at_least(0, "model", self, "vocab_size")
        multiple("model", self, "width", "heads")
        one_of("model.activation", self.activation, ops.ELEMENTWISE, "choose from")
        rates("model", self, "dropout", "attention_dropout", "activation_dropout", "label_smoothing")
        require(self.norm_eps > 0, f"model.norm_eps is {self.norm_eps}; it must be positive")
        self.check_ids("pad", "eos")

    def check_ids(self, *names: str) -> None:
        """Raise UserError for a special token that a vocabulary, if its size is known yet, is too small for."""
        for name in names:
            value = getattr(self, name)
            known = not self.vocab_size or 0 <= value < self.vocab_size
            require(known, f"model.{name} is {value}; it must be below model.vocab_size")

    @property
    def embedding_std(self) -> float:
        """Standard deviation of the initial embeddings."""
        raise NotImplementedError

    def block(self) -> BlockConfig:
        """The encoder's blocks' part of the configuration."""
        raise NotImplementedError

    def decoder_block(self) -> BlockConfig:
        """The decoder's."""
        return self.block()


class EncoderDecoder(Model):
    """The body of both models. It holds no state.

    Attributes:
        embedding_scale: what embeddings are multiplied with before positions are added.
        position_offset: which row of the position table belongs to the first token.
        embedding_norm: whether the sum of embedding and position is normalised, in each stack on its own.
    """

    embedding_scale = 1.0
    position_offset = 0
    embedding_norm = False

    def __init__(self, config: StacksConfig):
        self.decoder_block = config.decoder_block()
        self._decoder_site = 1 + config.encoder_layers * SITES_PER_BLOCK
        super().__init__(config)

    @property
    def head_site(self) -> int:
        """The number of the first dropout site behind the body."""
        return self._decoder_site + 1 + self.config.decoder_layers * SITES_PER_DECODER_BLOCK

    def body_specs(self) -> list[ParameterSpec]:
        c = self.config
        specs = [ParameterSpec("tokens", (c.vocab_size, c.width), c.embedding_std)]
        for side, layers, block in (
            ("encoder", c.encoder_layers, self.block),
            ("decoder", c.decoder_layers, self.decoder_block),
        ):
            specs += self.position_specs(side)
            specs += norm_specs(f"{side}.norm", self.block) if self.embedding_norm else []
            for layer in range(layers):
                specs += block_specs(f"{side}.blocks.{layer}", block, cross=side == "decoder")
        return specs

    def position_specs(self, side: str) -> list[ParameterSpec]:
        """The learned positions of a stack, if it has them."""
        return []

    def position_table(self, params: Parameters, side: str) -> Array:
        """The positions (rows, C) that are added to a stack's embeddings."""
        return params[f"{side}.positions"]

    @property
    def head_width(self) -> int:
        return max(self.block.head_width, self.decoder_block.head_width)

    def embed_forward(
        self, params: Parameters, side: str, ids: Array, run: Run, start: int = 0
    ) -> tuple[Array, EmbeddingCache]:
        """Token ids (B, T), the first of them at position `start`, to what the first block reads, (B, T, C)."""
        c_norm, site = None, 0 if side == "encoder" else self._decoder_site
        x, c_tokens = run.ops.embedding_forward(ids, params["tokens"], scale=self.embedding_scale)  # (B, T, C)
        positions = start + self.position_offset
        x, c_positions = run.ops.position_forward(x, self.position_table(params, side), positions=positions)
        if self.embedding_norm:
            x, c_norm = norm_forward(x, params, f"{side}.norm", self.block, run)
        x, c_dropout = run.ops.dropout_forward(x, self.config.dropout, run.dropout_key(site))
        return x, EmbeddingCache(c_tokens, c_positions, c_norm, c_dropout)

    def embed_backward(self, dx: Array, grads: Parameters, side: str, cache: EmbeddingCache, run: Run) -> None:
        dx = run.ops.dropout_backward(dx, cache.dropout)
        if self.embedding_norm:
            dx = norm_backward(dx, cache.norm, grads, f"{side}.norm", self.block, run)
        learned = f"{side}.positions"  # sinusoids are not
        dpositions = grads.into(learned) if learned in grads else None
        dx = run.ops.position_backward(dx, cache.positions, dpositions)
        run.ops.embedding_backward(dx, cache.tokens, grads.into("tokens"))

    def encode_forward(
        self, params: Parameters, source: Array, padding: Array | None, run: Run, layers: int | None = None
    ) -> tuple[Array, SideCache]:
        """Source ids (B, S) to the memory (B, S, C), or to the states behind so many layers."""
        x, c_embedding = self.embed_forward(params, "encoder", source, run)
        masks = [ops.Mask(key_padding=padding)] * (self.config.encoder_layers if layers is None else layers)
        x, c_blocks = stack_forward(x, params.scope("encoder.blocks"), self.block, run, 1, masks)
        return x, SideCache(c_embedding, c_blocks)

    def encode_backward(self, dmemory: Array, grads: Parameters, cache: SideCache, run: Run) -> None:
        dmemory = stack_backward(dmemory, cache.blocks, grads.scope("encoder.blocks"), self.block, run)
        self.embed_backward(dmemory, grads, "encoder", cache.embedding, run)

    def decode_forward(
        self, params: Parameters, ids: Array, memory: Array, padding: Array | None, run: Run
    ) -> tuple[Array, SideCache]:
        """Target ids (B, T) and the memory (B, S, C) to the decoder's last states (B, T, C).

        The target needs no padding mask: what is filled up on the right is later than every real token.
        """
        x, c_embedding = self.embed_forward(params, "decoder", ids, run)
        masks, seen = (
            [ops.Mask(causal=True)] * self.config.decoder_layers,
            Memory(memory, ops.Mask(key_padding=padding)),
        )
        p, site = params.scope("decoder.blocks"), self._decoder_site + 1
        x, c_blocks = stack_forward(x, p, self.decoder_block, run, site, masks, memory=seen)
        return x, SideCache(c_embedding, c_blocks)

    def decode_backward(self, dx: Array, grads: Parameters, cache: SideCache, run: Run, dmemory: Array) -> None:
        """Gradients of the decoder; every layer adds what the memory receives into `dmemory` (B, S, C)."""
        g = grads.scope("decoder.blocks")
        dx = stack_backward(dx, cache.blocks, g, self.decoder_block, run, dmemory)
        self.embed_backward(dx, grads, "decoder", cache.embedding, run)

    def body_forward(self, params: Parameters, batch: Seq2SeqBatch, run: Run) -> tuple[Array, BodyCache]:
        """Source (B, S) and target inputs (B, T) to the decoder's last states (B, T, C)."""
        memory, c_encoder = self.encode_forward(params, batch.source, batch.source_padding, run)
        x, c_decoder = self.decode_forward(params, batch.inputs, memory, batch.source_padding, run)
        return x, BodyCache(c_encoder, c_decoder, memory)

    def body_backward(self, dx: Array, grads: Parameters, cache: BodyCache, run: Run) -> None:
        """Gradient of the last states (B, T, C) back to every parameter of the body."""
        dmemory = run.ops.empty(cache.memory.shape, like=dx)
        dmemory[...] = 0
        self.decode_backward(dx, grads, cache.decoder, run, dmemory)
        self.encode_backward(dmemory, grads, cache.encoder, run)


class Seq2Seq(EncoderDecoder):
    """The body with the common head: the next target token."""

    def output_forward(self, params: Parameters, x: Array, run: Run) -> tuple[Array, Cache]:
        """Scores of every token (…, V) from the decoder's states (…, C); the matrix is the embedding's."""
        return run.ops.linear_forward(x, params["tokens"].T, params.get("final_logits_bias"))

    def logits(self, params: Parameters, batch: Seq2SeqBatch, run: Run = EVALUATION) -> Array:
        """Scores of every possible next target token at every position: (B, T, V)."""
        x, _ = self.body_forward(params, batch, run)
        return self.output_forward(params, x, run)[0]

    def forward(self, params: Parameters, batch: Seq2SeqBatch, run: Run = EVALUATION) -> tuple[float, LossCache]:
        """Mean cross-entropy (nats per token) of the batch's targets, and the cache for `backward`.

        Labels are smoothed in training only, so that what is evaluated is a likelihood.
        """
        targets = given(batch.targets, "targets")
        x, c_body = self.body_forward(params, batch, run)
        logits, c_output = self.output_forward(params, x, run)  # tied: (B, T, C) @ (C, V)
        loss, c_loss = run.ops.cross_entropy_forward(
            logits,
            targets,
            denominator=run.denominators.get("tokens"),
            label_smoothing=self.config.label_smoothing if run.train else 0.0,
        )
        return loss, LossCache(c_body, c_output, c_loss, {"accuracy": right_answers(logits, targets)})

    def backward(
        self, params: Parameters, grads: Parameters, cache: LossCache, run: Run = EVALUATION, scale: float = 1.0
    ) -> None:
        """Add scale times the gradient of the loss to `grads`.

        The tied matrix is reached three times: as the output layer, as the decoder's and as the encoder's embedding.
        """
        dlogits = run.ops.cross_entropy_backward(scale, cache.loss)
        # logits = x Eᵀ + b: this goes into a view of the embedding's gradient, and b is a constant
        dembedding, first = grads.claim("tokens")
        dx = run.ops.linear_backward(dlogits, cache.output, dembedding.T, first=first)
        self.body_backward(dx, grads, cache.body, run)

    def start(self, params: Parameters, batch: Seq2SeqBatch, max_len: int, run: Run = EVALUATION) -> DecoderState:
        """Read the source, and return the state of decoders that have not written anything yet.

        Args:
            batch: its target is not looked at.
            max_len: the largest number of target tokens, the decoder's start included.
        """
        c, rows = self.decoder_block, len(batch.source)
        memory, _ = self.encode_forward(params, batch.source, batch.source_padding, run)
        scopes = [params.scope(f"decoder.blocks.{layer}.cross") for layer in range(self.config.decoder_layers)]
        kv = [memory_kv_forward(memory, p, c, run)[0] for p in scopes]
        own = empty_key_values(memory, c, len(scopes), rows, min(max_len, self.config.context))
        return DecoderState(own, kv, batch.source_padding, np.arange(rows), run)

    def step(self, params: Parameters, ids: Array, state: DecoderState) -> tuple[Array, DecoderState]:
        """Read the next tokens (R, n) of every text, and return the scores (R, V) of what may follow them."""
        run, memory_mask = state.run, ops.Mask(key_padding=state.padding)
        x, _ = self.embed_forward(params, "decoder", ids, run, start=state.length)
        for layer in range(self.config.decoder_layers):
            p = params.scope(f"decoder.blocks.{layer}")
            append = partial(state.own.append, layer)
            kv = state.memory[layer]
            x = block_step(x, p, self.decoder_block, run, append, memory=kv, memory_mask=memory_mask)
        logits, _ = self.output_forward(params, x[:, -1], run)
        return logits, dataclasses.replace(state, own=state.own.advanced(ids.shape[1]))
