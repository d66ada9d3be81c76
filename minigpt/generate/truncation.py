"""Leaving out unlikely tokens before one is drawn, beyond top-k and top-p: four rules on a distribution.

Each takes probabilities (…, V) that sum to 1 and returns those of the tokens that stay, which sum to 1 again. The most
probable token always stays.
"""

from __future__ import annotations

import numpy as np


def min_p(p: np.ndarray, share: float) -> np.ndarray:
    """Keep tokens of at least `share` times the largest probability (Nguyen et al. 2024)."""
    return _kept(p, p >= share * p.max(axis=-1, keepdims=True))


def typical(p: np.ndarray, mass: float) -> np.ndarray:
    """Keep the tokens whose −log p is nearest to the entropy, until they sum to `mass` (Meister et al. 2023)."""
    distance = np.abs(_surprise(p) - _entropy(p))
    order = np.argsort(distance, axis=-1, kind="stable")
    sums = np.cumsum(np.take_along_axis(p, order, axis=-1), axis=-1)
    last = np.minimum((sums < mass).sum(axis=-1, keepdims=True), p.shape[-1] - 1)
    farthest = np.take_along_axis(distance, np.take_along_axis(order, last, axis=-1), axis=-1)
    return _kept(p, distance <= farthest, certain=False)


def epsilon_cutoff(p: np.ndarray, epsilon: float) -> np.ndarray:
    """Keep tokens of at least `epsilon` (Hewitt et al. 2022)."""
    return _kept(p, p >= epsilon)


def eta_cutoff(p: np.ndarray, epsilon: float) -> np.ndarray:
    """Keep tokens of at least min(ε, √ε·exp(−entropy)), from the same paper."""
    return _kept(p, p >= np.minimum(epsilon, np.sqrt(epsilon) * np.exp(-_entropy(p))))


def _kept(p: np.ndarray, stays: np.ndarray, *, certain: bool = True) -> np.ndarray:
    """What stays, and with `certain` the most probable token too."""
    if certain:
        stays = stays | (p == p.max(axis=-1, keepdims=True))
    left = np.where(stays, p, 0.0)
    return left / left.sum(axis=-1, keepdims=True)


def _surprise(p: np.ndarray) -> np.ndarray:
    """−log p; ∞ where p is 0."""
    with np.errstate(divide="ignore"):
        return -np.log(p)


def _entropy(p: np.ndarray) -> np.ndarray:
    """−Σ p log p, with the last axis kept at length 1."""
    return np.where(p > 0, p * _surprise(np.where(p > 0, p, 1.0)), 0.0).sum(axis=-1, keepdims=True)
