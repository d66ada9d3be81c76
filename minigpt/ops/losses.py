"""Losses: softmax cross-entropy, −log of the probability given to the true token or class, which is what every language
model here learns by, and the squared error of a score on a continuous scale.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigpt.core.backend import Array, array_module
from minigpt.ops._common import Out, deliver, rows

IGNORE = -100  # a target that counts for nothing (padding, unmasked positions); the value Hugging Face uses too


class CrossEntropyCache(NamedTuple):
    probabilities: Array  # softmax(z), (N, V)
    targets: Array  # (N,)
    denominator: float
    label_smoothing: float
    shape: tuple[int, ...]  # of the logits
    weights: Array | None  # (N,)


def count_targets(targets: Array) -> int:
    """How many targets are not ignored."""
    return int((targets != IGNORE).sum())


def cross_entropy_forward(
    logits: Array,
    targets: Array,
    *,
    denominator: float | None = None,
    label_smoothing: float = 0.0,
    weights: Array | None = None,
) -> tuple[float, CrossEntropyCache]:
    """Mean of −Σ_c q_c log softmax(z)_c over the positions that count.

    Without smoothing q is 1 at the target y, so a position costs log Σ_c exp(z_c) − z_y. With smoothing ε it is
    1 − ε at the target and ε/(V − 1) at every other class, as in the original Transformer's code (PyTorch spreads
    ε over all V classes instead: its ε′ is our ε·V/(V − 1)).

    Args:
        logits: z, (…, V).
        targets: y, (…,) integers; `IGNORE` where a position does not count.
        denominator: what the sum is divided by. A shard of a batch passes the whole batch's number of targets, so
            that the shards' losses and gradients add up; by default this call's own number.
        label_smoothing: ε in [0, 1).
        weights: (…,) by how much each position's cost is multiplied before they are summed; None: by 1.
    Returns:
        the loss, a Python float summed in float64, and the cache for `cross_entropy_backward`.
    Raises:
        ValueError: a target is neither a class nor IGNORE (checked on the CPU).
    """
    xp = array_module(logits, targets)
    z, y = rows(logits), targets.reshape(-1)  # (N, V), (N,)
    valid = y != IGNORE
    if xp is np and not ((y >= 0) & (y < z.shape[1]) | ~valid).all():
        raise ValueError(f"a target is outside the vocabulary of {z.shape[1]} tokens")
    if denominator is None:
        denominator = max(int(valid.sum()), 1)
    y = xp.where(valid, y, 0)
    shifted = z - z.max(axis=-1, keepdims=True)  # the maximum cancels; nothing overflows
    target_logit = shifted[xp.arange(len(y)), y]  # (N,)
    exponentials = xp.exp(shifted)
    total = exponentials.sum(axis=-1)  # (N,)
    cost = xp.log(total) - target_logit  # −log softmax(z)_y
    if label_smoothing:
        others = (shifted.sum(axis=-1) - target_logit) / (z.shape[1] - 1)  # mean logit of the other classes
        cost += label_smoothing * (target_logit - others)
    if weights is not None:
        weights = weights.reshape(-1).astype(logits.dtype)  # (N,)
        cost = cost * weights
    loss = float(xp.where(valid, cost, 0).sum(dtype=xp.float64)) / denominator
    exponentials /= total[:, None]
    targets = xp.where(valid, y, IGNORE)
    return loss, CrossEntropyCache(exponentials, targets, denominator, label_smoothing, logits.shape, weights)


def cross_entropy_backward(dloss: float, cache: CrossEntropyCache, *, out: Out = None) -> Array:
    """dz = w (softmax(z) − q) / denominator · dloss where the target counts, 0 where it is ignored.

    From L = log Σ_c exp(z_c) − Σ_c q_c z_c (Σ q = 1): ∂ log Σ exp / ∂z_c is softmax(z)_c.

    Args:
        dloss: the gradient of the loss, a number (1, or the factor of an auxiliary loss).
    Returns:
        dlogits (…, V).
    """
    probabilities, y, denominator, epsilon, shape, weights = cache
    xp = array_module(probabilities)
    classes = probabilities.shape[1]
    dz = probabilities - (epsilon / (classes - 1) if epsilon else 0.0)  # (N, V): softmax(z) − q off the target
    valid = y != IGNORE
    at = xp.where(valid, y, 0)
    dz[xp.arange(len(y)), at] -= (1.0 - epsilon) - (epsilon / (classes - 1) if epsilon else 0.0)
    scale = valid * (dloss / denominator)
    if weights is not None:
        scale = scale * weights  # cost · w
    dz *= scale.astype(dz.dtype)[:, None]
    return deliver(dz.reshape(shape), out)


class SquaredErrorCache(NamedTuple):
    difference: Array  # p − y, 0 where the target is ignored
    denominator: float


def squared_error_forward(
    predictions: Array, targets: Array, *, denominator: float | None = None
) -> tuple[float, SquaredErrorCache]:
    """Mean of (p − y)² over the places that count.

    Args:
        predictions: p, of any shape.
        targets: y, of the same shape; `IGNORE` where a place does not count.
        denominator: what the sum is divided by; by default the number of places that count.
    Returns:
        the loss, a Python float summed in float64, and the cache for `squared_error_backward`.
    """
    xp = array_module(predictions, targets)
    if denominator is None:
        denominator = max(count_targets(targets), 1)
    difference = xp.where(targets == IGNORE, 0, predictions - targets).astype(predictions.dtype)
    loss = float((difference * difference).sum(dtype=xp.float64)) / denominator
    return loss, SquaredErrorCache(difference, denominator)


def squared_error_backward(dloss: float, cache: SquaredErrorCache, *, out: Out = None) -> Array:
    """dp = 2 (p − y) / denominator · dloss."""
    return deliver(cache.difference * (2.0 * dloss / cache.denominator), out)
