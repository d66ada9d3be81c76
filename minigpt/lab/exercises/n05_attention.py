"""Exercises of notebook 5, masked self-attention."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from minigpt import ops
from minigpt.lab.exercises.checks import Exercise, Function, Mistake
from minigpt.ops.softmax import SoftmaxCache


def _softmax_gradient(probabilities: np.ndarray, dprobabilities: np.ndarray) -> np.ndarray:
    return ops.softmax_backward(dprobabilities, SoftmaxCache(probabilities))


def _rows(rng: np.random.Generator) -> Iterator[tuple]:
    for shape in ((4,), (3, 5), (2, 2, 3, 7)):
        yield ops.softmax_forward(rng.standard_normal(shape))[0], rng.standard_normal(shape)


def _banded_mask(queries: int, keys: int, window: int, lengths: list[int]) -> np.ndarray:
    padding = np.arange(keys) < np.array(lengths)[:, None]
    return ops.Mask(causal=True, window=window, key_padding=padding).allowed(np, queries, keys)[:, 0, 0]


def _masks(rng: np.random.Generator) -> Iterator[tuple]:
    yield 4, 4, 2, [4]
    yield 5, 5, 3, [5, 2]
    yield 2, 6, 3, [6, 4, 1]
    yield 1, 7, 7, [7]


def _drawn_masks(rng: np.random.Generator) -> Iterator[tuple]:
    for keys in (5, 9):
        queries, window = rng.integers(1, keys + 1, 2).tolist()
        yield queries, keys, window, rng.integers(1, keys + 1, 3).tolist()


def _head_backward(dy: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray, **wrong: bool) -> tuple:
    q, k, v, dy = (x[None, :, None] for x in (q, k, v, dy))
    _, cache = ops.attention_forward(q, k, v, mask=ops.Mask(causal=not wrong.get("sees_all")))
    dq, dk, dv = (x[0, :, 0] for x in ops.attention_backward(dy, cache))
    factor = math.sqrt(q.shape[-1]) if wrong.get("unscaled") else 1.0
    return dq * factor, dk * factor, dv


def _untransposed(dy: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> tuple:
    """dK = s dZ Q, as if dZ were symmetric. dK = s dZᵀ Q is linear in Q, so dZ comes from Q = 1."""
    dq, _, dv = _head_backward(dy, q, k, v)
    p = ops.attention_forward(*(x[None, :, None] for x in (q, k, v)), mask=ops.Mask(causal=True))[1].probabilities
    dz = _softmax_gradient(p[0, 0, 0], dy @ v.T) / math.sqrt(q.shape[1])
    return dq, dz @ q, dv


def _heads(rng: np.random.Generator) -> Iterator[tuple]:
    for t, d in ((1, 1), (4, 3), (5, 8)):
        yield tuple(rng.standard_normal((4, t, d)))


def _temperature_gradient(dscores: np.ndarray, q: np.ndarray, k: np.ndarray, tau: float) -> float:
    return -float((dscores * (q @ k.T)).sum()) / (tau * tau)


def _temperatures(rng: np.random.Generator) -> Iterator[tuple]:
    for t, s, d, tau in ((1, 1, 1, 1.0), (3, 4, 2, 2.5), (5, 5, 8, 0.4)):
        yield rng.standard_normal((t, s)), rng.standard_normal((t, d)), rng.standard_normal((s, d)), tau


EXERCISES = (
    Exercise(
        "dZ_j = P_j (dP_j − Σ_i dP_i P_i); the sum runs over the last axis and must keep it (keepdims=True).",
        Function(
            _softmax_gradient,
            _rows,
            mistakes=[
                Mistake(lambda p, dp: p * (1 - p) * dp, "That is the Jacobian's diagonal only."),
                Mistake(lambda p, dp: p * (dp - dp.mean(axis=-1, keepdims=True)), "The mean is weighted with P."),
            ],
        ),
    ),
    Exercise(
        "query t stands at position i = t + S − T; make i − j with broadcasting, (T, S), and ask 0 ≤ i − j < w.",
        Function(
            _banded_mask,
            _masks,
            drawn=_drawn_masks,
            mistakes=[
                Mistake(lambda t, s, w, n: _banded_mask(t, s, w + 1, n), "The window is one too wide."),
                Mistake(lambda t, s, w, n: _banded_mask(t, s, s + t, n), "The window is missing."),
                Mistake(lambda t, s, w, n: _banded_mask(t, s, w, [s] * len(n)), "The padding is missing."),
            ],
        ),
    ),
    Exercise(
        "the five lines of the table, from O = P V backwards; do not forget s = 1/√D in dQ and dK.",
        Function(
            _head_backward,
            _heads,
            mistakes=[
                Mistake(lambda *a: _head_backward(*a, unscaled=True), "The factor s is missing in dQ and dK."),
                Mistake(lambda *a: _head_backward(*a, sees_all=True), "The mask is missing."),
                Mistake(_untransposed, "dK takes the transpose of dZ."),
            ],
        ),
    ),
    Exercise(
        "Z_ij = (q_i · k_j)/τ, so ∂Z_ij/∂τ = −(q_i · k_j)/τ²; τ reaches the loss through every Z_ij.",
        Function(
            _temperature_gradient,
            _temperatures,
            mistakes=[
                Mistake(lambda *a: -_temperature_gradient(*a), "The sign is wrong: 1/τ falls as τ grows."),
                Mistake(lambda dz, q, k, tau: -float((dz * (q @ k.T)).sum()) / tau, "1/τ has the derivative −1/τ²."),
            ],
        ),
    ),
)
