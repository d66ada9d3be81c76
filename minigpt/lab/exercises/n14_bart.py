"""Exercises of notebook 14, BART."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from minigpt.lab.exercises.checks import Exercise, Function, Mistake, Value


def _infill(tokens: list[int], spans: list[tuple[int, int]], mask: int) -> list[int]:
    result, end = [], 0
    for first, length in spans:
        result += [*tokens[end:first], mask]
        end = first + length
    return result + tokens[end:]


def _spans(rng: np.random.Generator) -> Iterator[tuple]:
    yield [0, 11, 12, 13, 2], [(2, 1)], 3
    yield [0, 11, 12, 13, 14, 15, 16, 2], [(1, 3), (5, 1)], 3
    yield [0, 11, 12, 13, 14, 15, 16, 2], [(2, 0), (4, 2)], 3
    yield [0, 11, 12, 2], [(3, 0)], 9
    yield rng.integers(10, 99, 30).tolist(), [(1, 0), (2, 4), (9, 2), (20, 0), (25, 4)], 7


def _mask_for_each_token(tokens: list[int], spans: list[tuple[int, int]], mask: int) -> list[int]:
    hidden = {i for first, length in spans for i in range(first, first + length)}
    return [mask if i in hidden else token for i, token in enumerate(tokens)]


def _forgetting_the_empty(tokens: list[int], spans: list[tuple[int, int]], mask: int) -> list[int]:
    return _infill(tokens, [(first, length) for first, length in spans if length], mask)


def _memory_gradient(dkvs: list[np.ndarray], weights: list[np.ndarray]) -> np.ndarray:
    dmemory = np.zeros((*dkvs[0].shape[:2], len(weights[0])))
    for dkv, weight in zip(dkvs, weights, strict=True):
        dmemory += dkv @ weight.T
    return dmemory


def _layers(rng: np.random.Generator) -> Iterator[tuple]:
    for layers, b, s, c in ((1, 1, 2, 3), (2, 2, 4, 3), (3, 2, 5, 4)):
        dkvs = list(rng.standard_normal((layers, b, s, 2 * c)))
        yield dkvs, list(rng.standard_normal((layers, c, 2 * c)))


def _mean_over_layers(dkvs: list[np.ndarray], weights: list[np.ndarray]) -> np.ndarray:
    return _memory_gradient(dkvs, weights) / len(dkvs)


def _rouge_1(written: list[str], reference: list[str]) -> float:
    common = (Counter(written) & Counter(reference)).total()
    return 2 * common / (len(written) + len(reference))


def _summaries(rng: np.random.Generator) -> Iterator[tuple]:
    for written, reference in (
        ("Ben found his kite", "Ben found his kite"),
        ("Ben did not find it", "Ben found his kite in the park"),
        ("the the the cat", "the cat met the dog"),
        ("nothing in common", "Ben found his kite"),
        ("", "Ben found his kite"),  # a model that ends at once
    ):
        yield written.split(), reference.split()


def _drawn_summaries(rng: np.random.Generator) -> Iterator[tuple]:
    for length, other in rng.integers(1, 12, (4, 2)).tolist():
        yield rng.choice(list("abcdef"), length).tolist(), rng.choice(list("abcdef"), other).tolist()


def _unclipped(written: list[str], reference: list[str]) -> float:
    common = sum(word in reference for word in written)
    return 2 * common / (len(written) + len(reference))


def _recall(written: list[str], reference: list[str]) -> float:
    return (Counter(written) & Counter(reference)).total() / len(reference)


EXERCISES = (
    Exercise(
        "go through the spans from left to right: copy what stands before a span, put one mask, go on behind it.",
        Function(
            _infill,
            _spans,
            mistakes=[
                Mistake(_mask_for_each_token, "A span is one mask, however many tokens it hides."),
                Mistake(_forgetting_the_empty, "A span of length 0 hides nothing, but its mask is inserted."),
            ],
        ),
    ),
    Exercise(
        "E[k | k ≥ 1] = E[k] / P(k ≥ 1), for the empty spans add nothing to the mean.",
        Value(
            lambda: 3 / (1 - math.exp(-3)),
            bound=1e-3,
            mistakes=[
                Mistake(3, "That is the mean over all masks, also those that hide nothing."),
                Mistake(3 * (1 - math.exp(-3)), "Divide by the probability, do not multiply."),
                Mistake(3.5 / (1 - math.exp(-3.5)), "That is for λ = 3.5, as in the published command."),
            ],
        ),
    ),
    Exercise(
        "kv = memory W, so dmemory = dkv Wᵀ for one layer; the memory is read by all of them.",
        Function(
            _memory_gradient,
            _layers,
            mistakes=[
                Mistake(lambda d, w: _memory_gradient(d[-1:], w[-1:]), "Only the last layer's gradient is there."),
                Mistake(lambda d, w: _memory_gradient(d[:1], w[:1]), "Only the first layer's gradient is there."),
                Mistake(_mean_over_layers, "Gradients of several paths add up; nothing is averaged."),
            ],
        ),
    ),
    Exercise(
        "common words: for each word the smaller of its two counts; F1 = 2 · common / (length + length), 0 for a text "
        "without words.",
        Function(
            _rouge_1,
            _summaries,
            drawn=_drawn_summaries,
            mistakes=[
                Mistake(_unclipped, "A word counts in common only as often as both texts have it."),
                Mistake(_recall, "That is the recall alone."),
            ],
        ),
    ),
)
