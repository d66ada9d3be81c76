"""Exercises of notebooks/08-sampling.ipynb."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minigpt.generate.sampling import next_token_probabilities
from minigpt.lab.exercises.checks import Exercise, Function, Mistake, Value


def _with_temperature(z: np.ndarray, temperature: float) -> np.ndarray:
    return next_token_probabilities(z, temperature=temperature)


def _temperature_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    yield np.array([1.0, 0.0]), 2.0
    yield 3 * rng.standard_normal(7), 0.5
    yield 3 * rng.standard_normal(40), 1.7
    yield np.array([2000.0, 1999.0, -3000.0]), 1.0


def _nucleus(probabilities: np.ndarray, top_p: float) -> np.ndarray:
    return next_token_probabilities(np.log(probabilities), top_p=top_p)


def _nucleus_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    yield np.array([0.5, 0.3, 0.2]), 0.6
    yield np.array([0.1, 0.2, 0.7]), 0.65
    for top_p in (0.3, 0.9, 1.0):
        yield rng.dirichlet(np.ones(20)), top_p


def _without_the_crossing(probabilities: np.ndarray, top_p: float) -> np.ndarray:
    order = np.argsort(-probabilities)
    kept = np.zeros_like(probabilities)
    inside = np.cumsum(probabilities[order]) <= top_p
    inside[0] = True
    kept[order[inside]] = probabilities[order[inside]]
    return kept / kept.sum()


def _min_p(probabilities: np.ndarray, m: float) -> np.ndarray:
    """As a top-k: so many tokens are that probable."""
    k = int((probabilities >= m * probabilities.max()).sum())
    return next_token_probabilities(np.log(probabilities), top_k=k)


def _min_p_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    yield np.array([0.5, 0.3, 0.2]), 0.5
    for m in (0.05, 0.3, 1.0):
        yield rng.dirichlet(np.ones(12)), m


def _absolute_min_p(probabilities: np.ndarray, m: float) -> np.ndarray:
    kept = np.where(probabilities >= m, probabilities, 0.0)
    return kept / max(kept.sum(), 1e-300)


EXERCISES = (
    Exercise(
        "take the largest score off first, divide by the temperature, then exponentials over their sum.",
        Function(
            _with_temperature,
            _temperature_inputs,
            mistakes=[
                Mistake(lambda z, temperature: _with_temperature(z, 1 / temperature), "Divide by τ, not multiply."),
                Mistake(
                    lambda z, temperature: _with_temperature(z, 1.0) / temperature,
                    "The scores are divided by τ, not the probabilities.",
                ),
            ],
        ),
    ),
    Exercise(
        "sort from the most probable down; a token is kept if the sum of those before it is still below p. Divide what "
        "is kept by its sum, and leave every token at its own place.",
        Function(
            _nucleus,
            _nucleus_inputs,
            mistakes=[
                Mistake(_without_the_crossing, "The token that crosses p must be kept."),
                Mistake(
                    lambda probabilities, top_p: np.where(_nucleus(probabilities, top_p) > 0, probabilities, 0.0),
                    "What is kept must sum to 1 again.",
                ),
            ],
        ),
    ),
    Exercise(
        "the limit is m times the largest probability, so it moves with the model's confidence.",
        Function(
            _min_p,
            _min_p_inputs,
            mistakes=[Mistake(_absolute_min_p, "m is relative to the most probable token.")],
        ),
    ),
    Exercise(
        "without a cache, the first new token needs 24 tokens, the second 25, …, the last 24 + 999; with one, every "
        "token goes through once.",
        Value(
            lambda: (sum(range(24, 1024)), 24 + 999),
            mistakes=[
                Mistake((sum(range(25, 1025)), 1024), "The last token that is written is not read any more."),
                Mistake((sum(range(24, 1024)), 1024), "The last token that is written is not read any more."),
                Mistake((1000 * 1001 // 2, 1000), "The prompt goes through too."),
            ],
        ),
    ),
    Exercise(
        "2 · L · G · D · T numbers: keys and values, of key-value heads only.",
        Value(
            lambda: 2 * 80 * 8 * 128 * 4096 * 2,
            mistakes=[
                Mistake(80 * 8 * 128 * 4096 * 2, "Keys and values are both kept."),
                Mistake(2 * 80 * 64 * 128 * 4096 * 2, "Queries are not kept: count the key-value heads."),
                Mistake(2 * 80 * 8 * 128 * 4096, "That is how many numbers; each has two bytes."),
            ],
        ),
    ),
)
