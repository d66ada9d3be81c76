"""A model's loss on a text: every token predicted once, from the tokens before it in its window."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigpt.backend import Array
from minigpt.data.batch import Batch
from minigpt.params import Parameters
from minigpt.run import Run
from minigpt.tokenizers import Tokenizer
from minigpt.train.shards import ShardPool


class Score(NamedTuple):
    """A mean loss in nats per token, and over how many tokens it was taken."""

    loss: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """exp(loss): how many equally likely tokens the model hesitates between. Infinite where a float64 ends."""
        return math.exp(self.loss) if self.loss < 709 else math.inf

    def bits_per_byte(self, text_bytes: int) -> float:
        """Total −log₂ p of the predicted tokens over the bytes that they stand for: comparable across tokenizers."""
        return self.loss * self.tokens / math.log(2) / text_bytes


def window_starts(tokens: int, context: int, limit: int | None) -> list[int]:
    """Where the non-overlapping windows start; at most about `limit` tokens of them, evenly spread over the text."""
    starts = range(0, tokens - 1, context)
    if limit is None or tokens - 1 <= limit:
        return list(starts)
    full = (tokens - 1) // context
    count = max(1, min(full, limit // context))
    return [context * (full * i // count) for i in range(count)]


def mean_loss(
    model: Any,
    params: Parameters,
    tokens: np.ndarray,
    *,
    pool: ShardPool,
    rows: int = 16,
    limit: int | None = None,
    to_device: Callable[[Array], Array] = lambda x: x,
    on_batch: Callable[[int], object] = lambda tokens: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Score | None:
    """Score `tokens` in non-overlapping windows of the model's context; the first token has nothing before it.

    Args:
        rows: windows per batch; each of the pool's workers takes whole batches.
        limit: score only about so many tokens, in windows spread evenly; None scores all.
        on_batch: called with the number of tokens of each batch that is done (for a progress bar).
        should_stop: asked before each batch; once it says yes, the result is None.
    """
    context = model.config.context
    starts = window_starts(len(tokens), context, limit)
    full = [s for s in starts if s + context + 1 <= len(tokens)]
    groups = [full[i : i + rows] for i in range(0, len(full), rows)]
    groups += [[s] for s in starts[len(full) :]]  # the last, shorter window

    def score(group: list[int]) -> tuple[float, int]:
        if should_stop():
            return 0.0, 0
        windows = np.stack([tokens[s : s + context + 1] for s in group]).astype(np.int64)
        batch = Batch(to_device(windows[:, :-1]), to_device(windows[:, 1:]))
        loss, _ = model.forward(
            params, batch, Run(denominators={"tokens": 1}, ops=pool.operations)
        )  # divided by 1: the sum
        on_batch(batch.targets.size)
        return loss, batch.targets.size

    results = pool.map(score, groups)
    if should_stop():
        return None
    count = sum(n for _, n in results)
    return Score(math.fsum(loss for loss, _ in results) / count, count)


def text_bytes(tokenizer: Tokenizer, tokens: np.ndarray) -> int:
    """How many UTF-8 bytes of text the tokens stand for, without holding the text in memory."""
    return sum(tokenizer.byte_count(tokens[i : i + _SLICE].tolist()) for i in range(0, len(tokens), _SLICE))


_SLICE = 1 << 20
