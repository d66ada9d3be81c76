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
    gradient = rows(dlogits)
    costs: dict[int, float] = {}

    def forward(block: slice) -> None:
        weight = counted[block].astype(logits.dtype)
        cost = _costs(z[block], y[block], gradient[block], weight * (1.0 / denominator), label_smoothing, share)
        costs[block.start] = float((cost * weight)[valid[block]].sum(dtype=np.float64))

    cut = blocks(*z.shape)
    each(cut, forward, work=z.size)
    return sum(costs[block.start] for block in cut) / denominator, CrossEntropyCache(dlogits)


def _costs(z: np.ndarray, y: np.ndarray, g: np.ndarray, weight: np.ndarray, epsilon: float, share: float) -> np.ndarray:
    """Some rows' costs (n,) from their logits z (n, V), and weight times the gradient of each into g (n, V)."""
    at, every = (np.arange(len(y)), y), ones(z.shape[1], g.dtype)
    np.subtract(z, z.max(axis=1)[:, None], out=g)
    smoothed = g[at]
    if epsilon:
        smoothed = (1.0 - epsilon - share) * smoothed + share * (g @ every)
    np.exp(g, out=g)
    sums = g @ every
    cost = np.log(sums) - smoothed
    g *= (weight / sums)[:, None]
    if epsilon:
        g -= (weight * share)[:, None]
    g[at] -= weight * (1.0 - epsilon - share)
    return cost


def cross_entropy_backward(dloss: float, cache: CrossEntropyCache, *, out: np.ndarray | None = None) -> np.ndarray:
    """See `minigpt.ops.cross_entropy_backward`."""
    if dloss == 1.0:
        return settle(cache.dlogits, out)
    dlogits = target(out, cache.dlogits.shape, cache.dlogits.dtype)
    np.multiply(cache.dlogits, dloss, out=dlogits)
    return settle(dlogits, out)
