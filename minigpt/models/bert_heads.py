"""BERT's heads for tasks (Devlin et al. 2019): classify a text or a pair, choose among texts, find an answer's span.

Each is the pretrained body with a new head on it, all of which is then trained on.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from minigpt.blocks import linear_backward, linear_forward
from minigpt.blocks.run import EVALUATION, Run
from minigpt.core.backend import Array, array_module
from minigpt.core.measures import Measures
from minigpt.core.params import Parameters, ParameterSpec
from minigpt.data.batch import AnyBatch
from minigpt.models.bert_body import BertBody, BertConfig, BodyCache, PoolerCache
from minigpt.models.label_loss import LabelCache, label_loss_backward, label_loss_forward, right_answers
from minigpt.ops import Cache, count_targets


class _ClassificationBatch(NamedTuple):
    inputs: Array
    labels: Array
    token_types: Array | None = None
    key_padding: Array | None = None


class ClassificationBatch(_ClassificationBatch, AnyBatch):
    """B examples; each has one row of T tokens, or N of them to choose from.

    Attributes:
        inputs: (B, T), or (B, N, T) with choices.
        token_types, key_padding: of the same shape, or None.
        labels: (B,) the class, the number of the right choice, or a score (floats); `ops.IGNORE` where it is unknown.
    """

    __slots__ = ()

    def counts(self) -> dict[str, int]:
        return {"examples": count_targets(self.labels)}


class _SpanBatch(NamedTuple):
    inputs: Array
    starts: Array
    ends: Array
    token_types: Array | None = None
    key_padding: Array | None = None


class SpanBatch(_SpanBatch, AnyBatch):
    """B rows of T tokens with the first and last token of the answer, (B,); `ops.IGNORE` where there is none."""

    __slots__ = ()

    def counts(self) -> dict[str, int]:
        return {"starts": count_targets(self.starts), "ends": count_targets(self.ends)}


class PooledCache(NamedTuple):
    body: BodyCache
    pooler: PoolerCache
    dropout: Cache
    linear: Cache


class ClassifierCache(NamedTuple):
    scores: PooledCache
    labels: LabelCache
    measures: Measures


class BertClassifier(BertBody):
    """One of K classes for a text or a pair of texts: K scores from the pooled state of [CLS].

    With `regression` the only score is a number to be met, by the squared error.
    """

    def __init__(self, config: BertConfig, classes: int, *, regression: bool = False):
        self.classes, self.regression = classes, regression
        super().__init__(config)

    def head_specs(self) -> list[ParameterSpec]:
        return self.linear_specs("classifier", self.config.width, self.classes)

    def scores_forward(
        self, params: Parameters, ids: Array, run: Run, token_types: Array | None, key_padding: Array | None
    ) -> tuple[Array, PooledCache]:
        """Token ids (B, T) to scores (B, K)."""
        x, c_body = self.body_forward(params, ids, run, token_types, key_padding)
        h, c_pooler = self.pooler_forward(params, x, run)
        h, c_dropout = run.ops.dropout_forward(h, self.config.dropout, run.dropout_key(self.head_site))
        logits, c_linear = linear_forward(h, params, "classifier", run)
        return logits, PooledCache(c_body, c_pooler, c_dropout, c_linear)

    def scores_backward(self, dlogits: Array, grads: Parameters, cache: PooledCache, run: Run) -> None:
        dh = linear_backward(dlogits, cache.linear, grads, "classifier", run)
        dh = run.ops.dropout_backward(dh, cache.dropout)
        dx = run.ops.empty(cache.pooler.shape, like=dh)
        dx[...] = 0
        self.pooler_backward(dh, dx, grads, cache.pooler, run)
        self.body_backward(dx, grads, cache.body, run)

    def forward(
        self, params: Parameters, batch: ClassificationBatch, run: Run = EVALUATION
    ) -> tuple[float, ClassifierCache]:
        """Mean cross-entropy (or squared error) of the labels, and the cache for `backward`."""
        logits, cache = self.scores_forward(params, batch.inputs, run, batch.token_types, batch.key_padding)
        loss, c_labels = label_loss_forward(logits, batch.labels, run, regression=self.regression)
        return loss, ClassifierCache(cache, c_labels, c_labels.measures)

    def backward(
        self, params: Parameters, grads: Parameters, cache: ClassifierCache, run: Run = EVALUATION, scale: float = 1.0
    ) -> None:
        """Add scale times the gradient of the loss to `grads`."""
        dlogits = label_loss_backward(scale, cache.labels, run, regression=self.regression)
        self.scores_backward(dlogits, grads, cache.scores, run)


class BertMultipleChoice(BertClassifier):
    """Which of N texts: one score for each, and a softmax over the N. To the body, every choice is a row."""

    def __init__(self, config: BertConfig):
        super().__init__(config, classes=1)

    def scores_forward(
        self, params: Parameters, ids: Array, run: Run, token_types: Array | None, key_padding: Array | None
    ) -> tuple[Array, PooledCache]:
        """Token ids (B, N, T) to scores (B, N)."""
        b, n, t = ids.shape
        rows = dataclasses.replace(run, row=run.row * n)  # a row's dropout must not depend on the shard it is in
        parts = _as_rows(token_types), _as_rows(key_padding)
        scores, cache = super().scores_forward(params, ids.reshape(-1, t), rows, *parts)  # (B·N, 1)
        return scores.reshape(b, n), cache

    def scores_backward(self, dlogits: Array, grads: Parameters, cache: PooledCache, run: Run) -> None:
        super().scores_backward(dlogits.reshape(-1, 1), grads, cache, run)


def _as_rows(x: Array | None) -> Array | None:
    """View (B, N, T) as (B·N, T)."""
    return None if x is None else x.reshape(-1, x.shape[-1])


class SpanCache(NamedTuple):
    body: BodyCache
    linear: Cache
    start_loss: Cache
    end_loss: Cache
    scores: Array  # (B, T, 2)
    measures: Measures  # how many first and last tokens were right


class BertSpans(BertBody):
    """Where in the row the answer starts and ends: two scores for every token, each with a softmax over the row.

    As in BERT's code the softmax runs over all T positions, padding too.
    """

    @property
    def has_pooler(self) -> bool:
        return False

    def head_specs(self) -> list[ParameterSpec]:
        return self.linear_specs("span", self.config.width, 2)

    def scores_forward(
        self, params: Parameters, ids: Array, run: Run, token_types: Array | None, key_padding: Array | None
    ) -> tuple[Array, tuple[BodyCache, Cache]]:
        """Scores of each token as the first and as the last one of the answer: (B, T) to (B, T, 2)."""
        x, c_body = self.body_forward(params, ids, run, token_types, key_padding)
        scores, c_linear = linear_forward(x, params, "span", run)
        return scores, (c_body, c_linear)

    def forward(self, params: Parameters, batch: SpanBatch, run: Run = EVALUATION) -> tuple[float, SpanCache]:
        """Mean of the cross-entropies of the first and of the last token, and the cache for `backward`."""
        read = batch.inputs, run, batch.token_types, batch.key_padding
        logits, (c_body, c_linear) = self.scores_forward(params, *read)  # (B, T, 2)
        starts, ends = (run.denominators.get(term) for term in ("starts", "ends"))
        start_loss, c_start = run.ops.cross_entropy_forward(logits[..., 0], batch.starts, denominator=starts)
        end_loss, c_end = run.ops.cross_entropy_forward(logits[..., 1], batch.ends, denominator=ends)
        spans = array_module(logits).stack([batch.starts, batch.ends], axis=1)  # (B, 2)
        measures: Measures = {"accuracy": right_answers(logits.swapaxes(1, 2), spans)}
        return 0.5 * (start_loss + end_loss), SpanCache(c_body, c_linear, c_start, c_end, logits, measures)

    def backward(
        self, params: Parameters, grads: Parameters, cache: SpanCache, run: Run = EVALUATION, scale: float = 1.0
    ) -> None:
        """Add scale times the gradient of the loss to `grads`."""
        dstart = run.ops.cross_entropy_backward(0.5 * scale, cache.start_loss)  # (B, T)
        dlogits = run.ops.empty((*dstart.shape, 2), like=dstart)
        dlogits[..., 0] = dstart
        dlogits[..., 1] = run.ops.cross_entropy_backward(0.5 * scale, cache.end_loss)
        dx = linear_backward(dlogits, cache.linear, grads, "span", run)
        self.body_backward(dx, grads, cache.body, run)
