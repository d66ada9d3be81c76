"""The loss of heads that label a text: a class or a choice by cross-entropy, a score by the squared error.

BERT, BART and the heads of decoder-only models end in the same place: a few numbers for each example, and what they
should have been.
"""

from __future__ import annotations

from typing import NamedTuple

from minigpt.blocks.run import Run
from minigpt.core.backend import Array
from minigpt.core.measures import Measures
from minigpt.ops import Cache, count_targets


class LabelCache(NamedTuple):
    loss: Cache
    scores: Array  # (B, K), what the head said
    measures: Measures


def label_loss_forward(scores: Array, labels: Array, run: Run, *, regression: bool = False) -> tuple[float, LabelCache]:
    """Mean loss over the labelled examples.

    Args:
        scores: (B, K) one for each class or option, or with `regression` (B, 1), the score itself.
        labels: (B,) the right one's number, or with `regression` what the score should be; `ops.IGNORE` if unknown.
    """
    denominator = run.denominators.get("examples")
    if regression:
        loss, cache = run.ops.squared_error_forward(scores[:, 0], labels, denominator=denominator)
        return loss, LabelCache(cache, scores, {})
    loss, cache = run.ops.cross_entropy_forward(scores, labels, denominator=denominator)
    return loss, LabelCache(cache, scores, {"accuracy": right_answers(scores, labels)})


def right_answers(scores: Array, labels: Array) -> tuple[int, int]:
    """How many labels (…) have the largest of their scores (…, K), and how many are known."""
    right = int((scores.argmax(axis=-1) == labels).sum())  # IGNORE is no class, so it is never right
    return right, count_targets(labels)


def label_loss_backward(scale: float, cache: LabelCache, run: Run, *, regression: bool = False) -> Array:
    """scale times the loss's gradient for the scores (B, K)."""
    if regression:
        return run.ops.squared_error_backward(scale, cache.loss)[:, None]
    return run.ops.cross_entropy_backward(scale, cache.loss)
