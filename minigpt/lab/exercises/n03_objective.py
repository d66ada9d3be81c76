"""Exercises of notebooks/03-objective.ipynb."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from minigpt import ops
from minigpt.lab.exercises.checks import Exercise, Function, Mistake, Value


def _log_softmax(z: np.ndarray) -> np.ndarray:
    """By way of the loss: −log p of every class in turn."""
    classes = np.broadcast_to(np.arange(z.shape[-1]), z.shape)
    rows, targets = z.reshape(-1, z.shape[-1]), classes.reshape(-1, z.shape[-1])
    losses = [
        [-ops.cross_entropy_forward(row[None], np.array([target]))[0] for target in row_targets]
        for row, row_targets in zip(rows, targets, strict=True)
    ]
    return np.array(losses, z.dtype).reshape(z.shape)


def _log_softmax_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    yield (rng.standard_normal((1, 3)),)
    yield (5 * rng.standard_normal((2, 3, 4)),)
    yield (rng.standard_normal((4, 5)).astype("float32"),)
    yield (np.array([[1000.0, 0.0, 999.0], [-1000.0, -1000.0, -3000.0]]),)


def _log_softmax_of_all(z: np.ndarray) -> np.ndarray:
    return z - z.max() - np.log(np.exp(z - z.max()).sum())


def _distillation_gradient(z: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The loss is linear in q, so its gradient is a mean, weighted by q, of gradients for each single class."""
    rows, classes = z.shape
    dz = np.zeros_like(z)
    for c in range(classes):
        _, cache = ops.cross_entropy_forward(z, np.full(rows, c))
        dz += q[:, c : c + 1] * ops.cross_entropy_backward(1.0, cache)
    return dz


def _distillation_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    for shape in [(1, 3), (4, 5), (7, 2)]:
        yield rng.standard_normal(shape), rng.dirichlet(np.ones(shape[1]), shape[0])


def _binary_entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


EXERCISES = (
    Exercise(
        "the terms are i = 2 … n, and term i has min(i − 1, k) tokens before it.",
        Value(
            lambda: (len(range(2, 1001)), sum(1 for i in range(2, 1001) if i - 1 >= 64)),
            mistakes=[
                Mistake((1000, 936), "There is no term for x_1, which nothing precedes."),
                Mistake((1000, 937), "There is no term for x_1, which nothing precedes."),
                Mistake((999, 935), "x_65 has x_1 … x_64 before it: it is the first with a full context."),
            ],
        ),
    ),
    Exercise(
        "log softmax(z)_c = z_c − m − log Σ exp(z_j − m), with m the largest score of the row.",
        Function(
            _log_softmax,
            _log_softmax_inputs,
            mistakes=[Mistake(_log_softmax_of_all, "Each row must be normalised on its own: axis=-1, keepdims=True.")],
        ),
    ),
    Exercise(
        "as for a single true token: log Σ exp(z) gives the probabilities again, since the q of a row sum to 1; and "
        "the truth is now q.",
        Function(
            _distillation_gradient,
            _distillation_inputs,
            mistakes=[
                Mistake(lambda z, q: _distillation_gradient(z, q) * len(z), "The loss is a mean over N positions."),
                Mistake(lambda z, q: -_distillation_gradient(z, q), "The sign is turned: that is the way up."),
            ],
        ),
    ),
    Exercise(
        "1 nat is 1/ln 2 bits, and a token's nats are spread over its bytes.",
        Value(
            lambda: 3.2 / math.log(2) / 4.1,
            bound=1e-3,
            mistakes=[
                Mistake(3.2 / 4.1, "These are nats per byte."),
                Mistake(
                    3.2 * math.log(2) / 4.1, "A bit is less than a nat, so there are more of them: divide by ln 2."
                ),
                Mistake(3.2 / math.log(2), "These are bits per token."),
            ],
        ),
    ),
    Exercise(
        "the entropy of the next letter depends on the present one; weight both by how often each letter comes, which "
        "follows from: as many A B as B A.",
        Value(
            lambda: 0.75 * _binary_entropy(0.2) + 0.25 * _binary_entropy(0.6),
            bound=1e-3,
            mistakes=[
                Mistake(
                    (_binary_entropy(0.2) + _binary_entropy(0.6)) / 2,
                    "Both letters do not come equally often.",
                ),
                Mistake(_binary_entropy(0.25), "That is the loss of a model that looks at frequencies only."),
                Mistake((0.75 * _binary_entropy(0.2) + 0.25 * _binary_entropy(0.6)) / math.log(2), "These are bits."),
            ],
        ),
    ),
)
