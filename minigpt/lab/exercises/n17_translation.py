"""Exercises of notebook 17, the first Transformer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minigpt import ops
from minigpt.data.seq2seq import shift_tokens_right
from minigpt.generate.beam import PENALTIES
from minigpt.lab.exercises.checks import Exercise, Function, Mistake
from minigpt.train.schedule import ScheduleConfig, learning_rate


def _noam(step: int, width: int, warmup: int) -> float:
    schedule = ScheduleConfig(kind="inverse_sqrt", peak=(width * warmup) ** -0.5, warmup=warmup - 1)
    return learning_rate(schedule, step - 1, step)


def _steps(rng: np.random.Generator) -> Iterator[tuple]:
    for step in (1, 7, 4000, 4001, 90000):
        yield step, 512, 4000
    yield 3, 64, 150


def _drawn_steps(rng: np.random.Generator) -> Iterator[tuple]:
    for warmup in (10, 4000):
        width, early, late = (int(rng.integers(*limits)) for limits in ((8, 600), (1, warmup), (warmup, 9 * warmup)))
        yield early, width, warmup
        yield late, width, warmup


def _smoothed_gradient(logits: np.ndarray, targets: np.ndarray, epsilon: float) -> np.ndarray:
    _, cache = ops.cross_entropy_forward(logits, targets, label_smoothing=epsilon)
    return ops.cross_entropy_backward(1.0, cache)


def _spread_over_all(logits: np.ndarray, targets: np.ndarray, epsilon: float) -> np.ndarray:
    """PyTorch's: ε/V at every class, the target included."""
    classes = logits.shape[1]
    return _smoothed_gradient(logits, targets, epsilon * (classes - 1) / classes)


def _predictions(rng: np.random.Generator) -> Iterator[tuple]:
    for rows, classes, epsilon in ((1, 3, 0.0), (2, 5, 0.1), (4, 11, 0.3)):
        yield rng.standard_normal((rows, classes)), rng.integers(0, classes, rows), epsilon


def _decoder_inputs(labels: np.ndarray, start: int, pad: int) -> np.ndarray:
    return shift_tokens_right(labels, pad=pad, start=start)


def _labels(rng: np.random.Generator) -> Iterator[tuple]:
    yield np.array([[5, 6, 2]]), 2, 1
    yield np.array([[5, 6, 2, ops.IGNORE], [7, 8, 9, 2]]), 2, 1
    yield np.array([[4, ops.IGNORE, ops.IGNORE], [3, 9, 0], [0, 0, ops.IGNORE]]), 9, 0


def _drawn_labels(rng: np.random.Generator) -> Iterator[tuple]:
    labels = rng.integers(3, 99, (4, 7))
    labels[np.arange(7) >= rng.integers(1, 8, 4)[:, None]] = ops.IGNORE
    yield labels, 2, 1


def _best_hypothesis(hypotheses: list, alpha: float) -> int:
    scores = [score / PENALTIES["gnmt"](length, alpha) for score, length in hypotheses]
    return int(np.argmax(scores))


def _hypotheses(rng: np.random.Generator) -> Iterator[tuple]:
    yield [(-2.0, 3)], 0.6
    yield [(-2.0, 3), (-2.4, 9), (-4.0, 12)], 0.6
    yield [(-2.0, 3), (-2.4, 9), (-4.0, 12)], 0.0
    yield [(-3.0, 2), (-3.6, 8)], 0.25
    yield [(-2.0, 4), (-3.0, 6)], 1.0  # divided by n they would be equal


def _drawn_hypotheses(rng: np.random.Generator) -> Iterator[tuple]:
    for alpha in (0.0, 0.6, 1.0):
        yield [(float(-rng.uniform(1, 9)), int(rng.integers(1, 20))) for _ in range(6)], alpha


def _shift_matrix(k: int, width: int) -> np.ndarray:
    matrix = np.zeros((width, width))
    angles = k * 10000.0 ** (-np.arange(0, width, 2) / width)
    for i, angle in enumerate(angles):
        sin, cos = np.sin(angle), np.cos(angle)
        matrix[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[cos, sin], [-sin, cos]]
    return matrix


def _shifts(rng: np.random.Generator) -> Iterator[tuple]:
    yield from ((1, 2), (3, 4), (-2, 8), (0, 6))


def _drawn_shifts(rng: np.random.Generator) -> Iterator[tuple]:
    yield int(rng.integers(-9, 10)), 2 * int(rng.integers(1, 6))


EXERCISES = (
    Exercise(
        "C^−½ · min(s^−½, s · W^−1.5).",
        Function(
            _noam,
            _steps,
            drawn=_drawn_steps,
            bound=1e-12,
            mistakes=[
                Mistake(lambda s, c, w: c**-0.5 * max(s**-0.5, s * w**-1.5), "It is the smaller of the two."),
                Mistake(lambda s, c, w: _noam(s, 1, w), "The factor C^−½ is missing."),
                Mistake(lambda s, c, w: _noam(s + 1, c, w), "Steps are counted from 1 already."),
            ],
        ),
    ),
    Exercise(
        "dz = (softmax(z) − q)/N, with q = 1 − ε at the target and ε/(V − 1) at every other token.",
        Function(
            _smoothed_gradient,
            _predictions,
            mistakes=[
                Mistake(_spread_over_all, "That is PyTorch's q, which gives the target a share of ε too."),
                Mistake(lambda z, y, e: _smoothed_gradient(z, y, 0.0), "Nothing is smoothed."),
                Mistake(lambda z, y, e: len(z) * _smoothed_gradient(z, y, e), "The mean over N is missing."),
            ],
        ),
    ),
    Exercise(
        "fill an array like labels with `start`, copy labels[:, :-1] into its other columns, then replace −100.",
        Function(
            _decoder_inputs,
            _labels,
            drawn=_drawn_labels,
            mistakes=[
                Mistake(
                    lambda labels, start, pad: shift_tokens_right(labels, pad=ops.IGNORE, start=start),
                    "−100 is no token that could be read.",
                ),
                Mistake(lambda labels, start, pad: np.roll(labels, 1, axis=1), "The first column is `start`."),
            ],
        ),
    ),
    Exercise(
        "score = log p / ((5 + n)/6)^α, and the largest wins; log p is negative.",
        Function(
            _best_hypothesis,
            _hypotheses,
            drawn=_drawn_hypotheses,
            mistakes=[
                Mistake(lambda h, alpha: _best_hypothesis(h, 0.0), "The length penalty is missing."),
                Mistake(
                    lambda h, alpha: int(np.argmax([s / n**alpha for s, n in h])), "That is fairseq's penalty, nᵅ."
                ),
            ],
        ),
    ),
    Exercise(
        "sin(a + b) = sin a cos b + cos a sin b and cos(a + b) = cos a cos b − sin a sin b, for each pair of features.",
        Function(
            _shift_matrix,
            _shifts,
            drawn=_drawn_shifts,
            mistakes=[Mistake(lambda k, width: _shift_matrix(-k, width), "That shifts the other way.")],
        ),
    ),
)
