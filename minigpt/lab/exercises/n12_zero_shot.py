"""Exercises of notebook 12, zero-shot."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minigpt.evaluate.scoring import RULES, Scored, rate
from minigpt.lab.exercises.checks import Exercise, Function, Mistake, Value

_YES, _NOT_AT_ALL = np.array([-2.1]), np.array([-3.0, -0.6, -0.3])


def _choose(log_probabilities: list, characters: list[int], anywhere: list[float], rule: str) -> int:
    options = zip(log_probabilities, characters, anywhere, strict=True)
    return int(np.argmax([rate(Scored(log_p, n, False), rule, alone) for log_p, n, alone in options]))


def _options(rng: np.random.Generator) -> Iterator[tuple]:
    for _ in range(5):
        lengths = rng.integers(1, 7, 4).tolist()
        log_p = [-rng.exponential(size=n) for n in lengths]
        characters = [int(n * rng.integers(2, 8)) for n in lengths]
        anywhere = [float(x.sum() - rng.normal()) for x in log_p]
        for rule in RULES:
            yield log_p, characters, anywhere, rule


def _always(other: str):
    return lambda log_p, characters, anywhere, rule: _choose(log_p, characters, anywhere, other)


def _two_ways(joint: np.ndarray) -> tuple:
    """By the definition of conditional probability, in the notebook's names."""
    u, c = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    return np.log(joint / u) - np.log(c), np.log(joint / c)


def _joints(rng: np.random.Generator) -> Iterator[tuple]:
    for shape in ((2, 2), (3, 4), (5, 3)):
        joint = rng.uniform(0.1, 1.0, shape)
        yield (joint / joint.sum(),)


EXERCISES = (
    Exercise(
        "the sum; the sum divided by len(…); by the characters; the sum minus what the option costs anywhere; then "
        "the place of the largest.",
        Function(
            _choose,
            _options,
            mistakes=[
                Mistake(_always("sum"), "By the sum, that is."),
                Mistake(_always("token"), "By the mean over tokens, that is."),
                Mistake(
                    lambda log_p, n, alone, rule: int(
                        np.argmin([rate(Scored(x, k, False), rule, a) for x, k, a in zip(log_p, n, alone, strict=True)])
                    ),
                    "Log-probabilities are negative: the best is the largest, not the smallest.",
                ),
            ],
        ),
    ),
    Exercise(
        "add them up: −2.1 against −3.9; then divide by 1 and by 3.",
        Value(
            lambda: tuple(int(f(_NOT_AT_ALL) > f(_YES)) for f in (np.sum, np.mean)),
            mistakes=[
                Mistake((0, 0), "Per token, three tokens share their sum."),
                Mistake((1, 1), "A sum of −3.9 is smaller than −2.1."),
                Mistake((1, 0), "It is the other way round."),
            ],
        ),
    ),
    Exercise(
        "p(c|u) = p(u, c)/Σ_c p(u, c), a division of each row by its sum; p(c) is the sum over u; p(u|c) divides each "
        "column. The two results differ by log p(u), which is the same all along a row.",
        Function(
            _two_ways,
            _joints,
            mistakes=[
                Mistake(lambda joint: tuple(x.T for x in _two_ways(joint.T)), "Rows and columns are exchanged."),
                Mistake(
                    lambda joint: (np.log(joint / joint.sum(axis=1, keepdims=True)), _two_ways(joint)[1]),
                    "log p(c) is not taken off the first.",
                ),
            ],
        ),
    ),
    Exercise(
        "(score − chance)/(best − chance), with chance 1/4.",
        Value(
            lambda: (0.575 - 0.25) / (0.85 - 0.25),
            bound=1e-3,
            mistakes=[
                Mistake(0.575 / 0.85, "Guessing has no skill: take chance off, above and below."),
                Mistake((0.575 - 0.25) / (1 - 0.25), "The paper divides by the best published score's distance."),
                Mistake((0.575 - 0.5) / (0.85 - 0.5), "Of four options, chance finds a quarter."),
            ],
        ),
    ),
)
