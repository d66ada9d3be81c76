"""What guessing achieves: the numbers that a model must beat before its accuracy means anything."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from minigpt.core.measures import Measures
from minigpt.ops import IGNORE


def frequency_guess(counts: np.ndarray, targets: Iterable[np.ndarray]) -> Measures:
    """Predict every target from how often each class was seen, and from nothing else.

    The probability of class v is (n_v + 1)/(Σ n + V): one more of each than were seen, so that none is impossible. The
    one answer that counts as right is the most frequent class.

    Args:
        counts: (V,) how often each class was seen in training.
        targets: arrays of classes, `IGNORE` where there is nothing to predict.
    Returns:
        "loss" (cross-entropy in nats) and "accuracy", as sums and counts.
    """
    cost = np.log(counts.sum() + len(counts)) - np.log(counts + 1.0)  # −log of each probability
    best = int(counts.argmax())
    loss, right, total = 0.0, 0, 0
    for some in targets:
        some = some[some != IGNORE]
        loss += float(cost[some].sum())
        right += int((some == best).sum())
        total += len(some)
    return {"loss": (loss, total), "accuracy": (right, total)}
