"""What counting can do: trigrams with interpolated Kneser–Ney smoothing (Kneser & Ney 1995; Chen & Goodman 1999).

A language model that is no better than this has learned which words follow which two, and nothing more. It needs no
training beyond counting, and predicts the same tokens of the same windows as the model that it stands beside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigpt.errors import UserError

ORDER = 3


class Counts(NamedTuple):
    """The n-grams of one order, and what is known of their contexts (their first n − 1 tokens)."""

    grams: np.ndarray  # sorted; an n-gram is one number, its tokens as digits in base V
    counts: np.ndarray
    contexts: np.ndarray  # sorted
    totals: np.ndarray  # Σ of the counts of a context's n-grams
    types: np.ndarray  # how many n-grams the context has
    discount: float


def _counts(grams: np.ndarray, counts: np.ndarray, vocab_size: int) -> Counts:
    """The tables of one order, from its sorted n-grams."""
    contexts, starts = np.unique(grams // vocab_size, return_index=True)
    totals = np.add.reduceat(counts, starts)
    types = np.diff(starts, append=len(grams))
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    discount = once / (once + 2 * twice) if once and twice else 0.5
    return Counts(grams, counts, contexts, totals, types, discount)


class KneserNey:
    """Interpolated Kneser–Ney trigrams.

    With c the count of a trigram, and for the lower orders the number of different tokens that stand before the n-gram
    (so that "Francisco", which follows nothing but "San", is not thought likely elsewhere), every order discounts what
    it has seen by D and gives what it took to the order below, down to one in V:
        p(w | context) = (max(c(context w) − D, 0) + D · types(context) · p(w | shorter context)) / Σ_w c(context w),
    with D = n₁/(n₁ + 2 n₂) from how many n-grams have the counts 1 and 2.
    """

    def __init__(self, texts: Sequence[np.ndarray], vocab_size: int):
        """Count the trigrams of each text (arrays of token ids)."""
        self.vocab_size = v = vocab_size
        if max(len(tokens) for tokens in texts) < ORDER:
            raise UserError(f"the training text is too short to count: it has fewer than {ORDER} tokens")
        wide = [np.asarray(tokens, dtype=np.int64) for tokens in texts]
        trigrams = np.concatenate([(t[:-2] * v + t[1:-1]) * v + t[2:] for t in wide])
        grams, counts = np.unique(trigrams, return_counts=True)
        self.orders = [_counts(grams, counts, v)]
        for order in range(ORDER - 1, 0, -1):
            grams, counts = np.unique(grams % v**order, return_counts=True)  # one for each different token before
            self.orders.append(_counts(grams, counts, v))

    def probabilities(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """p of every target (B, T), given the inputs up to it in its row; the first has one token before it."""
        v, targets = self.vocab_size, np.asarray(targets, dtype=np.int64)
        before = np.asarray(inputs, dtype=np.int64)
        p = np.full(targets.shape, 1.0 / v)
        p = _interpolate(self.orders[2], np.zeros_like(before), targets, v, p)
        p = _interpolate(self.orders[1], before, targets, v, p)
        longer = _interpolate(self.orders[0], before[:, :-1] * v + before[:, 1:], targets[:, 1:], v, p[:, 1:])
        return np.concatenate([p[:, :1], longer], axis=1)

    def mean_loss(self, batches: Sequence[Callable[[], Any]]) -> float:
        """−log p in nats per token, over all targets of the batches (see `minigpt.objectives`)."""
        total, count = 0.0, 0
        for make in batches:
            batch = make()
            total -= float(np.log(self.probabilities(batch.inputs, batch.targets)).sum())
            count += batch.targets.size
        return total / count


def _interpolate(order: Counts, contexts: np.ndarray, tokens: np.ndarray, vocab_size: int, p: np.ndarray) -> np.ndarray:
    """One order's probabilities of the tokens, given those of the order below."""
    count = _look_up(order.grams, order.counts, contexts * vocab_size + tokens)
    total = _look_up(order.contexts, order.totals, contexts)
    types = _look_up(order.contexts, order.types, contexts)
    seen = np.maximum(count - order.discount, 0.0) + order.discount * types * p
    return np.where(total > 0, seen / np.maximum(total, 1), p)


def _look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The value of every key, 0 where it is not among `keys` (sorted)."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
