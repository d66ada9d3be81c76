"""Exercises of notebooks/04-layer-norm.ipynb."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from minigpt import ops
from minigpt.lab.exercises.checks import Exercise, Function, Mistake, Value
from minigpt.ops.norm import RMSNormCache


def _rmsnorm_dx(dy: np.ndarray, normalized: np.ndarray, inverse_rms: np.ndarray, gain: np.ndarray) -> np.ndarray:
    return ops.rmsnorm_backward(dy, RMSNormCache(normalized, inverse_rms, gain), np.zeros_like(gain))


def _rmsnorm_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    for shape, dtype in [((1, 3), "float64"), ((2, 4, 7), "float64"), ((5, 6), "float32")]:
        x, dy = rng.standard_normal((2, *shape)).astype(dtype)
        gain = (1 + 0.3 * rng.standard_normal(shape[-1])).astype(dtype)
        _, cache = ops.rmsnorm_forward(x, gain)
        yield dy, cache.normalized, cache.inverse_rms, gain


def _without_gain(dy: np.ndarray, normalized: np.ndarray, inverse_rms: np.ndarray, gain: np.ndarray) -> np.ndarray:
    return _rmsnorm_dx(dy, normalized, inverse_rms, np.ones_like(gain))


def _with_mean(dy: np.ndarray, normalized: np.ndarray, inverse_rms: np.ndarray, gain: np.ndarray) -> np.ndarray:
    g = dy * gain
    return _rmsnorm_dx(dy, normalized, inverse_rms, gain) - g.mean(axis=-1, keepdims=True) * inverse_rms


def _fold(gain: np.ndarray, bias: np.ndarray, weight: np.ndarray, linear_bias: np.ndarray) -> tuple:
    """Of a linear layer, b' is what it makes of x̂ = 0, and row i of W' what it adds for x̂ = e_i."""
    after_zero, _ = ops.linear_forward(bias[None], weight, linear_bias)
    after_units, _ = ops.linear_forward(np.diag(gain) + bias, weight, linear_bias)
    return after_units - after_zero, after_zero[0]


def _fold_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    for width, outputs in [(3, 2), (5, 5), (4, 7)]:
        gain, bias = rng.standard_normal((2, width))
        yield gain, bias, rng.standard_normal((width, outputs)), rng.standard_normal(outputs)


def _fold_outputs(gain: np.ndarray, bias: np.ndarray, weight: np.ndarray, linear_bias: np.ndarray) -> tuple:
    """The gain on the wrong side of the matrix, which is possible only if it is square."""
    return (weight * gain if len(gain) == weight.shape[1] else weight), bias @ weight + linear_bias


def _merge(count1: int, mean1: float, q1: float, count2: int, mean2: float, q2: float) -> tuple:
    """By way of numbers that have these counts, means and sums of squares: half of them above the mean, half below."""

    def numbers(count: int, mean: float, q: float) -> np.ndarray:
        away = math.sqrt(q / (2 * (count // 2)))
        return np.array([mean - away] * (count // 2) + [mean] * (count % 2) + [mean + away] * (count // 2))

    whole = np.concatenate([numbers(count1, mean1, q1), numbers(count2, mean2, q2)])
    return len(whole), whole.mean(), ((whole - whole.mean()) ** 2).sum()


def _merge_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    for count1, count2, mean in [(2, 2, 0.0), (3, 8, 1.0), (40, 5, -2.0), (6, 6, 1e6)]:
        a, b = rng.standard_normal(count1) + mean, rng.standard_normal(count2) + mean + 1
        yield tuple(x for part in (a, b) for x in (len(part), float(part.mean()), float(part.var() * len(part))))


def _added(count1: int, mean1: float, q1: float, count2: int, mean2: float, q2: float) -> tuple:
    return count1 + count2, (count1 * mean1 + count2 * mean2) / (count1 + count2), q1 + q2


def _mean_of_means(count1: int, mean1: float, q1: float, count2: int, mean2: float, q2: float) -> tuple:
    return count1 + count2, (mean1 + mean2) / 2, _merge(count1, mean1, q1, count2, mean2, q2)[2]


EXERCISES = (
    Exercise(
        "what is the mean, and how far is each of the two numbers from it, in standard deviations?",
        Value(
            lambda: ops.layernorm_forward(np.array([[1.0, 3.0], [1000.0, 3000.0]]), np.ones(2), eps=1e-30)[0],
            mistakes=[
                Mistake(
                    (np.array([[1.0, 3.0], [1000.0, 3000.0]]) - [[2.0], [2000.0]]) / np.sqrt([[2.0], [2000000.0]]),
                    "Divide the sum of squares by C, not by C − 1.",
                )
            ],
        ),
    ),
    Exercise(
        "solve s/√(s² + ε) = ½ for s.",
        Value(
            lambda: math.sqrt(1e-5 / 3),
            bound=1e-6,
            mistakes=[
                Mistake(1e-5 / 3, "That is its square, the variance."),
                Mistake(math.sqrt(1e-5), "There ε is as large as the variance, and x̂ has a deviation of 1/√2."),
            ],
        ),
    ),
    Exercise(
        "write ∂x̂_j/∂x_i as for layer normalisation: x reaches x̂ directly and through r, and ∂r/∂x_i = x̂_i/C. "
        "And what reaches x̂ is dy times the gain.",
        Function(
            _rmsnorm_dx,
            _rmsnorm_inputs,
            mistakes=[
                Mistake(_without_gain, "The gain is missing: what reaches x̂ is dy · gain."),
                Mistake(_with_mean, "That also takes a mean off, but RMSNorm has none."),
            ],
        ),
    ),
    Exercise(
        "put y = γ x̂ + β into y W + b and sort by what is multiplied with x̂; γ_i belongs to the input feature i.",
        Function(
            _fold,
            _fold_inputs,
            mistakes=[Mistake(_fold_outputs, "The gain must scale the rows of W (input features), not its columns.")],
        ),
    ),
    Exercise(
        "the mean of the whole is between the two, weighted by the counts; measured from it, each half's sum grows by "
        "its count times the squared distance of its mean.",
        Function(
            _merge,
            _merge_inputs,
            mistakes=[
                Mistake(_added, "The two sums are about different means, so they do not simply add up."),
                Mistake(_mean_of_means, "A half with more numbers has more weight in the mean."),
            ],
        ),
    ),
)
