"""What counting can do: n-grams with interpolated Kneser–Ney smoothing (Kneser & Ney 1995; Chen & Goodman 1999).

A language model that is no better than this has learned which words follow which few, and nothing more. It needs no
training beyond counting, and predicts the same tokens of the same rows as the model that it stands beside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.ops import IGNORE

ORDER = 5


class Counts(NamedTuple):
    """The n-grams of one order. An n-gram is one number, (the number of its first n − 1 tokens) · V + its last token;
    the number of a context is its place among the shorter n-grams.

    Attributes:
        grams: (N,) sorted.
        counts: (N,) how often each was seen; in lower orders, how many tokens were seen before it.
        totals, types: of every context, Σ of the counts of its n-grams, and how many of them have been counted.
    """

    grams: np.ndarray
    counts: np.ndarray
    totals: np.ndarray
    types: np.ndarray
    discount: float


def _counts(grams: np.ndarray, counts: np.ndarray, vocab_size: int, contexts: int) -> Counts:
    """The tables of one order, from its sorted n-grams."""
    context = grams // vocab_size
    totals = np.bincount(context, weights=counts, minlength=contexts)
    types = np.bincount(context, weights=counts > 0, minlength=contexts)
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    discount = once / (once + 2 * twice) if once and twice else 0.5
    return Counts(grams, counts, totals, types, discount)


class KneserNey:
    """Interpolated Kneser–Ney n-grams.

    With c the count of an n-gram, and for the lower orders the number of different tokens that stand before it (so that
    "Francisco", which follows nothing but "San", is not thought likely elsewhere), every order discounts what it has
    seen by D and gives what it took to the order below, down to one in V:
        p(w | context) = (max(c(context w) − D, 0) + D · types(context) · p(w | shorter context)) / Σ_w c(context w),
    with D = n₁/(n₁ + 2 n₂) from how many n-grams have the counts 1 and 2.
    """

    def __init__(self, texts: Sequence[np.ndarray], vocab_size: int, order: int = ORDER):
        """Count the n-grams of each text (arrays of token ids)."""
        self.vocab_size = v = vocab_size
        if max(len(tokens) for tokens in texts) < order:
            raise UserError(f"the training text is too short to count: it has fewer than {order} tokens")
        wide = [np.asarray(tokens, dtype=np.int64) for tokens in texts]
        tokens = np.concatenate(wide)
        since = np.concatenate([np.arange(len(t)) for t in wide])  # how many tokens of its text stand before each
        # Order by order: `number` is the place, among the n-grams seen, of the one that ends at each token; −1 where
        # the text does not go back so far.
        number, grams, counted, suffixes = np.zeros(len(tokens), dtype=np.int64), [], [], []
        for n in range(1, order + 1):
            ends = np.flatnonzero(since >= n - 1)
            context = number[ends - 1] if n > 1 else np.zeros(len(ends), dtype=np.int64)
            keys, first, place, count = np.unique(
                context * v + tokens[ends], return_index=True, return_inverse=True, return_counts=True
            )
            suffixes.append(number[ends[first]])  # of each n-gram without its first token, among the shorter ones
            grams.append(keys)
            counted.append(count)
            number = np.full(len(tokens), -1, dtype=np.int64)
            number[ends] = place
        self.orders = []
        for n in range(order):
            counts = counted[n] if n == order - 1 else np.bincount(suffixes[n + 1], minlength=len(grams[n]))
            self.orders.append(_counts(grams[n], counts, v, len(grams[n - 1]) if n else 1))

    def probabilities(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """p of every target (B, T), given the inputs up to it in its row; the first has one token before it."""
        v, targets = self.vocab_size, np.asarray(targets, dtype=np.int64)
        inputs = np.asarray(inputs, dtype=np.int64)
        p = np.full(targets.shape, 1.0 / v)
        context = np.zeros_like(inputs)  # the number of the context before each target; −1: never seen
        for order in self.orders:
            p = _interpolate(order, context, targets, v, p)
            # One token longer: the context that ended one token earlier, and the token that came then.
            before = np.concatenate([np.full((len(inputs), 1), -1), context[:, :-1]], axis=1)
            if order is self.orders[0]:
                before = np.zeros_like(inputs)
            place = _find(order.grams, before * v + inputs)
            context = np.where(before >= 0, place, -1)
        return p

    def mean_loss(self, batches: Sequence[Callable[[], Any]]) -> float:
        """−log p in nats per token, over all targets of the batches (see `minigpt.train.objectives`)."""
        total, count = 0.0, 0
        for make in batches:
            batch = make()
            real = batch.targets != IGNORE
            p = self.probabilities(batch.inputs, np.where(real, batch.targets, 0))
            total -= float(np.log(p[real]).sum())
            count += int(real.sum())
        return total / count


def _interpolate(order: Counts, contexts: np.ndarray, tokens: np.ndarray, vocab_size: int, p: np.ndarray) -> np.ndarray:
    """One order's probabilities of the tokens, given those of the order below."""
    place = _find(order.grams, contexts * vocab_size + tokens)
    count = np.where(place >= 0, order.counts[place], 0)
    known = contexts >= 0
    total, types = np.where(known, order.totals[contexts], 0), np.where(known, order.types[contexts], 0)
    seen = np.maximum(count - order.discount, 0.0) + order.discount * types * p
    return np.where(total > 0, seen / np.maximum(total, 1), p)


def _find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The place of every key among `keys` (sorted), −1 where it is not."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, -1)
