"""Softmax cross-entropy, fast: the gradient of the logits is made at once, block by block, while they are in cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minigpt.core import workspace
from minigpt.fast._common import by_rows, ones
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
    loop: Callable[..., float] | None = None,
) -> tuple[float, CrossEntropyCache]:
    """See `minigpt.ops.cross_entropy_forward`; `loop` takes the place of `_costs`.

    The gradient, (softmax(z) − q)/denominator, is made here as well.
    """
    y, classes = targets.reshape(-1, 1), logits.shape[-1]
    valid = y != IGNORE
    if not ((y >= 0) & (y < classes) | ~valid).all():
        raise ValueError(f"a target is outside the vocabulary of {classes} tokens")
    if denominator is None:
        denominator = max(count_targets(targets), 1)
    counted = (valid if weights is None else valid * weights.reshape(-1, 1)).astype(logits.dtype)
    share = label_smoothing / (classes - 1) if label_smoothing else 0.0  # q off the target
    dlogits = workspace.empty(logits.shape, logits.dtype)
    inputs = logits, np.where(valid, y, 0), valid, counted
    costs = by_rows(loop or _costs, inputs, (dlogits,), 1.0 / denominator, label_smoothing, share)
    return sum(costs) / denominator, CrossEntropyCache(dlogits)


def _costs(
    z: np.ndarray,
    y: np.ndarray,
    valid: np.ndarray,
    counted: np.ndarray,
    g: np.ndarray,
    factor: float,
    epsilon: float,
    share: float,
) -> float:
    """The sum of some rows' costs, and the gradient of factor times that into g.

    Args:
        z: (n, V) logits; g is like it.
        y, valid, counted: (n, 1): the target, whether it counts, and how much.
        epsilon, share: label smoothing, and what it gives each class that is not the target.
    """
    at, every, weight = (np.arange(len(y)), y[:, 0]), ones(z.shape[1], g.dtype), counted[:, 0]
    np.subtract(z, z.max(axis=1)[:, None], out=g)
    smoothed = g[at]
    if epsilon:
        smoothed = (1.0 - epsilon - share) * smoothed + share * (g @ every)
    np.exp(g, out=g)
    sums = g @ every
    cost = np.log(sums) - smoothed
    total = float((cost * weight)[valid[:, 0]].sum(dtype=np.float64))
    weight = weight * factor
    g *= (weight / sums)[:, None]
    if epsilon:
        g -= (weight * share)[:, None]
    g[at] -= weight * (1.0 - epsilon - share)
    return total


def cross_entropy_backward(dloss: float, cache: CrossEntropyCache, *, out: np.ndarray | None = None) -> np.ndarray:
    """See `minigpt.ops.cross_entropy_backward`."""
    dlogits = cache.dlogits
    if dloss == 1.0 and out is None:
        return dlogits
    return np.multiply(dlogits, dloss, out=workspace.empty(dlogits.shape, dlogits.dtype) if out is None else out)
