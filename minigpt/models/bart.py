"""BART (Lewis et al. 2019): the Transformer's encoder and decoder, pretrained to restore a text that was damaged.

Against the first Transformer: learned positions, embeddings that are normalised in each stack and not scaled, GELU in
place of ReLU, and biases everywhere. The body also serves for classification and question answering, where encoder and
decoder read the same text.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

from minigpt.blocks import BlockConfig, linear_backward, linear_forward, linear_specs
from minigpt.blocks.run import EVALUATION, Run
from minigpt.core.backend import Array, array_module
from minigpt.core.measures import Measures
from minigpt.core.params import Parameters, ParameterSpec
from minigpt.core.settings import at_least, multiple
from minigpt.data.seq2seq import Seq2SeqBatch, given
from minigpt.models.encoder_decoder import BodyCache, EncoderDecoder, Seq2Seq, StacksConfig
from minigpt.models.label_loss import LabelCache, label_loss_backward, label_loss_forward, right_answers
from minigpt.ops import Cache


@dataclass(frozen=True)
class BARTConfig(StacksConfig):
    """The shape of a BART: "gelu_erf", and labels are smoothed (by 0.1) only where it is fine-tuned to write.

    Attributes:
        head_dropout: the rate before and inside the classification head.
        init_std: standard deviation of initial weights.
        bos: the id of `<s>`; a text is `<s> … </s>`.
        decoder_heads, decoder_feed_forward: the decoder's H and F; 0 means the encoder's (all published BARTs).
    """

    activation: str = "gelu_erf"
    attention_dropout: float = 0.1
    head_dropout: float = 0.0
    init_std: float = 0.02
    bos: int = 0
    decoder_heads: int = 0
    decoder_feed_forward: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_ids("bos", "start")
        at_least(0, "model", self, "decoder_heads", "decoder_feed_forward")
        if self.decoder_heads:
            multiple("model", self, "width", "decoder_heads")

    @property
    def embedding_std(self) -> float:
        return self.init_std

    def block(self) -> BlockConfig:
        return BlockConfig.of(self, residual_std=self.init_std)

    def decoder_block(self) -> BlockConfig:
        heads, inner = self.decoder_heads or self.heads, self.decoder_feed_forward or self.feed_forward
        return dataclasses.replace(self.block(), heads=heads, kv_heads=0, head_width=0, feed_forward=inner)


class BARTBody(EncoderDecoder):
    """What every BART has, whatever stands behind it."""

    config: BARTConfig
    family = "bart"
    position_offset = 2  # rows 0 and 1 are never used: in the authors' code a position was a padding id plus a count
    embedding_norm = True

    def position_specs(self, side: str) -> list[ParameterSpec]:
        c = self.config
        return [ParameterSpec(f"{side}.positions", (c.context + self.position_offset, c.width), c.init_std)]


class BART(BARTBody, Seq2Seq):
    """BART as it is pretrained, and as it writes: the next target token.

    `final_logits_bias` is added to the scores and never trained; it is zero in every published model.
    """

    def head_specs(self) -> list[ParameterSpec]:
        return [ParameterSpec("final_logits_bias", (self.config.vocab_size,), trained=False)]


class HeadCache(NamedTuple):
    dropout: Cache
    dense: Cache
    tanh: Cache
    inner_dropout: Cache
    out: Cache


class ClassifierCache(NamedTuple):
    body: BodyCache
    ends: tuple[Array, Array]  # where each row ends
    head: HeadCache
    labels: LabelCache
    measures: Measures


class BARTClassifier(BARTBody):
    """BART for sequence classification: encoder and decoder read the same text, and its last state says the class.

    The decoder's input is shifted, so at the last token, `</s>`, it has read all that stands before.
    With `regression` the only score is a number to be met, by the squared error.
    """

    def __init__(self, config: BARTConfig, classes: int, *, regression: bool = False):
        self.classes, self.regression = classes, regression
        super().__init__(config)

    def head_specs(self) -> list[ParameterSpec]:
        c = self.config
        return [
            *linear_specs("head.dense", c.width, c.width, std=c.init_std, bias=True),
            *linear_specs("head.out", c.width, self.classes, std=c.init_std, bias=True),
        ]

    def head_forward(self, params: Parameters, x: Array, run: Run) -> tuple[Array, HeadCache]:
        """A state (B, C) of each row to its scores (B, K): out(dropout(tanh(dense(dropout(x)))))."""
        rate, site = self.config.head_dropout, self.head_site
        x, c_dropout1 = run.ops.dropout_forward(x, rate, run.dropout_key(site))
        x, c_dense = linear_forward(x, params, "head.dense", run)  # (B, C)
        x, c_tanh = run.ops.tanh_forward(x)
        x, c_dropout2 = run.ops.dropout_forward(x, rate, run.dropout_key(site + 1))
        y, c_out = linear_forward(x, params, "head.out", run)  # (B, K)
        return y, HeadCache(c_dropout1, c_dense, c_tanh, c_dropout2, c_out)

    def head_backward(self, dy: Array, grads: Parameters, cache: HeadCache, run: Run) -> Array:
        dx = linear_backward(dy, cache.out, grads, "head.out", run)
        dx = run.ops.dropout_backward(dx, cache.inner_dropout)
        dx = run.ops.tanh_backward(dx, cache.tanh)
        dx = linear_backward(dx, cache.dense, grads, "head.dense", run)
        return run.ops.dropout_backward(dx, cache.dropout)

    def logits(self, params: Parameters, batch: Seq2SeqBatch, run: Run = EVALUATION) -> Array:
        """Scores of every class for every row: (B, K)."""
        x, _ = self.body_forward(params, batch, run)
        return self.head_forward(params, x[_ends(batch)], run)[0]

    def forward(self, params: Parameters, batch: Seq2SeqBatch, run: Run = EVALUATION) -> tuple[float, ClassifierCache]:
        """Mean cross-entropy (nats per row) or squared error of the batch's labels."""
        labels = given(batch.labels, "labels")
        states, c_body = self.body_forward(params, batch, run)
        ends = _ends(batch)
        logits, c_head = self.head_forward(params, states[ends], run)  # (B, T, C) -> (B, C) -> (B, K)
        loss, c_labels = label_loss_forward(logits, labels, run, regression=self.regression)
        return loss, ClassifierCache(c_body, ends, c_head, c_labels, c_labels.measures)

    def backward(
        self, params: Parameters, grads: Parameters, cache: ClassifierCache, run: Run = EVALUATION, scale: float = 1.0
    ) -> None:
        dlogits = label_loss_backward(scale, cache.labels, run, regression=self.regression)
        dend = self.head_backward(dlogits, grads, cache.head, run)  # (B, C)
        rows, length = cache.body.memory.shape[:2]
        dstates = run.ops.empty((rows, length, self.config.width), like=dend)  # source and target are equally long
        dstates[...] = 0
        dstates[cache.ends] = dend  # states[ends]: one place of each row
        self.body_backward(dstates, grads, cache.body, run)


def _ends(batch: Seq2SeqBatch) -> tuple[Array, Array]:
    """Where the last real token of each row, its `</s>`, stands."""
    xp = array_module(batch.source)
    rows, length = batch.source.shape
    last = xp.full(rows, length - 1) if batch.source_padding is None else batch.source_padding.sum(axis=1) - 1
    return xp.arange(rows), last


class SpanCache(NamedTuple):
    body: BodyCache
    head: Cache
    loss: Cache
    scores: Array  # (B, 2, T)
    measures: Measures  # how often the most probable place was the right one


class BARTQuestionAnswering(BARTBody):
    """BART for extractive question answering: every token's scores as the first and as the last of the answer."""

    def head_specs(self) -> list[ParameterSpec]:
        return linear_specs("head.spans", self.config.width, 2, std=self.config.init_std, bias=True)

    def logits(self, params: Parameters, batch: Seq2SeqBatch, run: Run = EVALUATION) -> Array:
        """Scores (B, 2, T): of each token as the answer's first, and as its last."""
        x, _ = self.body_forward(params, batch, run)
        return linear_forward(x, params, "head.spans", run)[0].swapaxes(1, 2)

    def forward(self, params: Parameters, batch: Seq2SeqBatch, run: Run = EVALUATION) -> tuple[float, SpanCache]:
        """Mean cross-entropy (nats) of first and last tokens, each among all T places of its row."""
        spans = given(batch.spans, "spans")
        x, c_body = self.body_forward(params, batch, run)
        scores, c_head = linear_forward(x, params, "head.spans", run)  # (B, T, 2)
        scores = scores.swapaxes(1, 2)  # (B, 2, T)
        loss, c_loss = run.ops.cross_entropy_forward(scores, spans, denominator=run.denominators.get("spans"))
        return loss, SpanCache(c_body, c_head, c_loss, scores, {"accuracy": right_answers(scores, spans)})

    def backward(
        self, params: Parameters, grads: Parameters, cache: SpanCache, run: Run = EVALUATION, scale: float = 1.0
    ) -> None:
        dscores = run.ops.cross_entropy_backward(scale, cache.loss).swapaxes(1, 2)  # (B, 2, T) -> (B, T, 2)
        dx = linear_backward(dscores, cache.head, grads, "head.spans", run)
        self.body_backward(dx, grads, cache.body, run)
