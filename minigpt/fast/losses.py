"""Softmax cross-entropy, fast: the gradient of the logits is made at once, block by block, while they are in cache."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigpt.core import workspace
from minigpt.fast._common import blocks, ones, rows, settle, target
from minigpt.fast.team import each
from minigpt.ops.losses import IGNORE, count_targets


class CrossEntropyCache(NamedTuple):
    dlogits: np.ndarray  # (…, V), the gradient for dloss = 1


def cross_entropy_forward(
    logits: np.ndarray,
    targets: np.ndarray,
    *,
    denominator: float | None = None,
    label_smoothing: float = 0.0,
    weights: np.ndarray | None = None,
) -> tuple[float, CrossEntropyCache]:
    """See `minigpt.ops.cross_entropy_forward`. The gradient, (softmax(z) − q)/denominator, is made here as well."""
    z, y = rows(logits), targets.reshape(-1)
    classes = z.shape[1]
    valid = y != IGNORE
    if not ((y >= 0) & (y < classes) | ~valid).all():
        raise ValueError(f"a target is outside the vocabulary of {classes} tokens")
    if denominator is None:
        denominator = max(count_targets(targets), 1)
    y = np.where(valid, y, 0)
    counted = valid if weights is None else valid * weights.reshape(-1)  # what each position's cost counts
    share = label_smoothing / (classes - 1) if label_smoothing else 0.0  # q off the target
    dlogits = workspace.empty(logits.shape, logits.dtype)
    gradient, costs = rows(dlogits), {}

    def forward(block: slice) -> None:
        g, at = gradient[block], (np.arange(block.stop - block.start), y[block])
        np.subtract(z[block], z[block].max(axis=1)[:, None], out=g)
        target_logit = g[at]
        smoothed = target_logit
        if label_smoothing:
            smoothed = (1.0 - label_smoothing - share) * target_logit + share * (g @ ones(classes, g.dtype))
        np.exp(g, out=g)
        sums = g @ ones(classes, g.dtype)
        cost = np.log(sums) - smoothed
        weight = counted[block].astype(g.dtype)
        costs[block.start] = float((cost * weight)[valid[block]].sum(dtype=np.float64))
        weight *= 1.0 / denominator
        g *= (weight / sums)[:, None]
        if label_smoothing:
            g -= (weight * share)[:, None]
        g[at] -= weight * (1.0 - label_smoothing - share)

    cut = blocks(*z.shape)
    each(cut, forward, work=z.size)
    return sum(costs[block.start] for block in cut) / denominator, CrossEntropyCache(dlogits)


def cross_entropy_backward(dloss: float, cache: CrossEntropyCache, *, out: np.ndarray | None = None) -> np.ndarray:
    """See `minigpt.ops.cross_entropy_backward`."""
    if dloss == 1.0:
        return settle(cache.dlogits, out)
    dlogits = target(out, cache.dlogits.shape, cache.dlogits.dtype)
    np.multiply(cache.dlogits, dloss, out=dlogits)
    return settle(dlogits, out)
