"""Exercises of notebooks/00-start-here.ipynb."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from minigpt.generate.sampling import next_token_probabilities
from minigpt.lab.exercises.checks import Exercise, Function, Mistake, Value


def _greedy(logits: np.ndarray) -> np.ndarray:
    """What the library draws at temperature 0."""
    return np.array([next_token_probabilities(row, temperature=0).argmax() for row in logits[:, -1]])


def _scores(rng: np.random.Generator) -> Iterator[tuple]:
    for shape in [(1, 2, 3), (4, 3, 5), (2, 7, 11)]:
        yield (rng.standard_normal(shape).astype("float32"),)


def _looks_back(probabilities: np.ndarray) -> np.ndarray:
    return np.diagonal(probabilities, offset=-1, axis1=1, axis2=2).mean(axis=-1)


def _attention(rng: np.random.Generator) -> Iterator[tuple]:
    for heads, tokens in [(1, 2), (2, 4), (5, 7)]:
        weights = np.tril(rng.random((heads, tokens, tokens)))
        yield (weights / weights.sum(axis=-1, keepdims=True),)


EXERCISES = (
    Exercise(
        "a model that knows nothing gives each of the V tokens the probability 1/V.",
        Value(
            lambda: math.log(50257),
            bound=1e-3,
            mistakes=[
                Mistake(math.log2(50257), "These are bits; losses are in nats, so take the natural logarithm."),
                Mistake(50257, "That is the perplexity; the loss is its logarithm."),
                Mistake(-math.log(50257), "The loss is minus the logarithm of the probability."),
            ],
        ),
    ),
    Exercise(
        "take the last position, logits[:, -1], which is (B, V), and argmax along its last axis.",
        Function(
            _greedy,
            _scores,
            mistakes=[
                Mistake(lambda logits: logits[:, 0].argmax(axis=-1), "That is the first position, not the last."),
                Mistake(lambda logits: logits.argmax(axis=-1), "Only the last position says how the text goes on."),
            ],
        ),
    ),
    Exercise(
        "the entry [h, t, t − 1] is how much head h's token t looks at the one before; average over t = 1 … T − 1.",
        Function(
            _looks_back,
            _attention,
            mistakes=[
                Mistake(
                    lambda p: np.diagonal(p, axis1=1, axis2=2).mean(axis=-1),
                    "That is the diagonal: how much tokens look at themselves.",
                ),
                Mistake(
                    lambda p: np.diagonal(p, offset=-1, axis1=1, axis2=2).sum(axis=-1) / p.shape[-1],
                    "Token 0 has nothing before it: divide by T − 1.",
                ),
                Mistake(
                    lambda p: np.diagonal(p, offset=1, axis1=1, axis2=2).mean(axis=-1),
                    "Queries are rows: the token before is at [t, t − 1].",
                ),
            ],
        ),
    ),
)
