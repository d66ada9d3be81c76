"""Exercises of notebooks/07-training.ipynb."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from minigpt.core.params import Parameters, ParameterSpec
from minigpt.lab.exercises.checks import Exercise, Function, Mistake, Value
from minigpt.train.optimizer import AdamW, OptimizerConfig, clip_factor, global_norm
from minigpt.train.schedule import ScheduleConfig, learning_rate

Arrays = Sequence[np.ndarray]


def _adamw_step(
    p: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    t: int,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float,
    variant: str = "adamw",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    specs = (ParameterSpec("p", (p.size, 1)),)  # a matrix: it decays
    params, grads = Parameters(specs, p.reshape(-1).copy()), Parameters(specs, g.reshape(-1).copy())
    settings = OptimizerConfig(variant=variant, beta1=beta1, beta2=beta2, eps=eps, weight_decay=decay)
    optimizer = AdamW(params, settings)
    optimizer.m[...], optimizer.v[...], optimizer.updates = m.reshape(-1), v.reshape(-1), t - 1
    optimizer.step(params, grads, rate)
    return params.flat.reshape(p.shape), optimizer.m.reshape(p.shape), optimizer.v.reshape(p.shape)


def _adamw_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    zeros = np.zeros((2, 2))
    yield rng.standard_normal((2, 2)), rng.standard_normal((2, 2)), zeros, zeros, 1, 0.01, 0.9, 0.99, 1e-8, 0.0
    for t, eps in [(1, 1e-8), (3, 1e-2), (50, 1e-8)]:
        p, g, m, v = rng.standard_normal((4, 3, 5))
        yield p, g, m, v * v, t, 0.1, 0.9, 0.95, eps, 0.3


def _with_l2(
    p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, t: int, rate: float, *settings: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    *others, decay = settings
    return _adamw_step(p, g + decay * p, m, v, t, rate, *others, 0.0)


def _uncorrected(*arguments: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return _adamw_step(*arguments, variant="bert")


def _rate(step: int, total: int, warmup: int, peak: float, floor: float) -> float:
    return learning_rate(ScheduleConfig(kind="cosine", peak=peak, floor=floor, warmup=warmup), step, total)


def _rate_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    for step in (0, 5, 9, 10, 11, 50, 99):
        yield step, 100, 10, 1e-3, 1e-4
    yield 70, 80, 0, 2.0, 0.0


def _drawn_rates(rng: np.random.Generator) -> Iterator[tuple]:
    for _ in range(4):
        warmup, after = rng.integers(2, 90, 2).tolist()
        peak = float(rng.uniform(0.1, 1.0))
        yield int(rng.integers(0, warmup)), warmup + after, warmup, peak, 0.1 * peak
        yield warmup + int(rng.integers(0, after)), warmup + after, warmup, peak, 0.1 * peak


def _from_the_start(step: int, total: int, warmup: int, peak: float, floor: float) -> float:
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * step / total))


def _first_lost(step: int, total: int, warmup: int, peak: float, floor: float) -> float:
    return peak * step / warmup if step < warmup else _rate(step, total, warmup, peak, floor)


def _clip(gradients: Arrays, limit: float) -> list[np.ndarray]:
    specs = tuple(ParameterSpec(str(i), g.shape) for i, g in enumerate(gradients))
    norm = global_norm(Parameters(specs, np.concatenate([g.reshape(-1) for g in gradients])))
    return [g * clip_factor(norm, limit) for g in gradients]


def _clip_inputs(rng: np.random.Generator) -> Iterator[tuple]:
    for scale in (10.0, 0.01, 1.0):
        yield [scale * rng.standard_normal((2, 3)), 0.1 * scale * rng.standard_normal(4)], 1.0
    yield [rng.standard_normal(5)], 0.25
    yield [np.zeros((2, 3)), np.zeros(4)], 1.0  # a step at which nothing was to be learned


def _clip_each(gradients: Arrays, limit: float) -> list[np.ndarray]:
    return [_clip([g], limit)[0] for g in gradients]


def _clip_always(gradients: Arrays, limit: float) -> list[np.ndarray]:
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    return [g * limit / max(norm, 1e-300) for g in gradients]


EXERCISES = (
    Exercise(
        "new m and v first, then both corrected; decay multiplies p with 1 − rate · decay, and ε is added to the root.",
        Function(
            _adamw_step,
            _adamw_inputs,
            mistakes=[
                Mistake(_uncorrected, "Bias correction is missing: divide m by 1 − β₁ᵗ and v by 1 − β₂ᵗ."),
                Mistake(_with_l2, "The decay went into the gradient, and so was divided by √v."),
            ],
        ),
    ),
    Exercise(
        "after the warm-up, x = (step − warmup)/(total − warmup) goes from 0 to 1, and the rate from the peak to the "
        "floor along ½ (1 + cos πx).",
        Function(
            _rate,
            _rate_inputs,
            drawn=_drawn_rates,
            mistakes=[
                Mistake(_from_the_start, "The cosine begins at the end of the warm-up, not at step 0."),
                Mistake(_first_lost, "That wastes the first update on a rate of 0."),
            ],
        ),
    ),
    Exercise(
        "one norm for all arrays together, √(Σ g²); only if it is above the limit, everything is multiplied with "
        "limit/norm (a norm of 0 is below every limit).",
        Function(
            _clip,
            _clip_inputs,
            mistakes=[
                Mistake(_clip_each, "Each array was clipped on its own, which turns the gradient as a whole."),
                Mistake(_clip_always, "Gradients below the limit must stay as they are."),
            ],
        ),
    ),
    Exercise(
        "each parameter has four numbers of four bytes.",
        Value(
            lambda: 124_439_808 * 4 * 4,
            mistakes=[
                Mistake(124_439_808 * 4, "These are the weights alone."),
                Mistake(124_439_808 * 4 * 3, "Adam has two moments, m and v."),
                Mistake(124_439_808 * 4 * 2, "That leaves two of them out."),
            ],
        ),
    ),
    Exercise(
        "its weight is multiplied with β₂ in every step: solve β₂ⁿ = ½.",
        Value(
            lambda: math.ceil(math.log(0.5) / math.log(0.999)),
            mistakes=[
                Mistake(1000, "That is 1/(1 − β₂), after which 1/e is left."),
                Mistake(692, "After 692 steps a little more than half is left."),
            ],
        ),
    ),
)
