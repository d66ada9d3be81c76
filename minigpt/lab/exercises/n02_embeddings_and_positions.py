"""Exercises of notebooks/02-embeddings-and-positions.ipynb."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from minigpt import ops
from minigpt.lab.exercises.checks import Exercise, Function, Mistake, Value
from minigpt.ops.embedding import EmbeddingCache
from minigpt.ops.rope import rope_frequencies


def _scatter(ids: np.ndarray, dy: np.ndarray, rows: int) -> np.ndarray:
    dtable = np.zeros((rows, dy.shape[1]), dy.dtype)
    ops.embedding_backward(dy, EmbeddingCache(ids, rows), dtable)
    return dtable


def _scatter_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    yield np.array([1, 0, 1]), rng.standard_normal((3, 2)), 3
    yield rng.integers(0, 5, 40), rng.standard_normal((40, 4)), 7
    yield rng.integers(0, 700, 50), rng.standard_normal((50, 3)).astype("float32"), 701


def _last_wins(ids: np.ndarray, dy: np.ndarray, rows: int) -> np.ndarray:
    dtable = np.zeros((rows, dy.shape[1]), dy.dtype)
    dtable[ids] += dy
    return dtable


def _averaged(ids: np.ndarray, dy: np.ndarray, rows: int) -> np.ndarray:
    return _scatter(ids, dy, rows) / np.maximum(np.bincount(ids, minlength=rows), 1)[:, None].astype(dy.dtype)


def _sinusoid(position: int, width: int) -> np.ndarray:
    return ops.sinusoid_table(position + 1, width)[position]


def _sinusoid_halves(position: int, width: int) -> np.ndarray:
    row = _sinusoid(position, width)
    return np.concatenate([row[0::2], row[1::2]])


def _sinusoid_squared(position: int, width: int) -> np.ndarray:
    """With i/C in the exponent instead of 2i/C."""
    angles = position * 10000.0 ** (-np.arange(width // 2) / width)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(-1)


def _rotary_score(q: np.ndarray, k: np.ndarray, m: int, n: int, base: float) -> float:
    rope = ops.Rope(base=base, layout="interleaved")
    q_turned, _ = ops.rope_forward(q[None, None, None], rope, positions=m)
    k_turned, _ = ops.rope_forward(k[None, None, None], rope, positions=n)
    return float((q_turned * k_turned).sum())


def _rotary_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    for width, m, n, base in [(2, 3, 1, 100.0), (8, 0, 5, 10000.0), (16, 40, 7, 500000.0)]:
        yield *rng.standard_normal((2, width)), m, n, base


def _rotary_half(q: np.ndarray, k: np.ndarray, m: int, n: int, base: float) -> float:
    def neighbours(x: np.ndarray) -> np.ndarray:
        return x.reshape(2, -1).T.reshape(-1)

    return _rotary_score(neighbours(q), neighbours(k), m, n, base)


EXERCISES = (
    Exercise(
        "several equal ids must add up: the product of the transposed one-hot matrix with dy does it, and so does a "
        "loop.",
        Function(
            _scatter,
            _scatter_inputs,
            mistakes=[
                Mistake(_last_wins, "Of several equal ids only the last one counted."),
                Mistake(_averaged, "That is the mean of each token's gradients; it is their sum."),
            ],
        ),
    ),
    Exercise(
        "a table has as many numbers as rows times columns, and there are two of them.",
        Value(
            lambda: (50257 + 1024) * 768,
            mistakes=[
                Mistake(50257 * 768, "The positions are missing."),
                Mistake((2 * 50257 + 1024) * 768, "The output layer is the same table, it is not counted again."),
            ],
        ),
    ),
    Exercise(
        "features 2i and 2i + 1 are sine and cosine of position · 10000^(−2i/width).",
        Function(
            _sinusoid,
            lambda rng: [(1, 2), (5, 8), (100, 64)],
            drawn=lambda rng: [(int(rng.integers(0, 3000)), 2 * int(rng.integers(1, 40))) for _ in range(3)],
            mistakes=[
                Mistake(_sinusoid_halves, "The numbers are right, but sines and cosines must take turns."),
                Mistake(_sinusoid_squared, "The exponent is −2i/width, with i counting pairs."),
            ],
        ),
    ),
    Exercise(
        "(R_m q) · (R_n k) = q · (R_{n−m} k): turn k by n − m. With complex numbers z = a + ib it is the real part of "
        "Σ conj(q) k exp(i (n − m) θ).",
        Function(
            _rotary_score,
            _rotary_inputs,
            mistakes=[
                Mistake(
                    lambda q, k, m, n, base: _rotary_score(q, k, n, m, base), "It is turned by n − m, not by m − n."
                ),
                Mistake(_rotary_half, "That pairs x_j with x_{j+D/2}; here the pairs are neighbours."),
                Mistake(lambda q, k, m, n, base: float(q @ k), "Nothing was turned."),
            ],
        ),
    ),
    Exercise(
        "a pair turns by θ radians with each token, and the slowest θ is base^(−(D−2)/D).",
        Value(
            lambda: 2 * math.pi / rope_frequencies(128, ops.Rope()).min(),
            bound=1e-4,
            mistakes=[
                Mistake(2 * math.pi * 10000.0, "The last pair has j = D/2 − 1: its exponent is (D − 2)/D, not 1."),
                Mistake(1 / rope_frequencies(128, ops.Rope()).min(), "That is for one radian; a turn has 2π of them."),
            ],
        ),
    ),
)
