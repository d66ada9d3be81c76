"""Exercises of notebook 10, why it is fast: checks that count operations and memory, never time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigpt import ops
from minigpt.core.params import Parameters, ParameterSpec
from minigpt.lab.exercises.checks import Exercise, Function, Mistake, WrongAnswer
from minigpt.train.optimizer import AdamW, OptimizerConfig

OPERATIONS = 9


class Counted(np.ndarray):
    """An array that notes which element-wise operations are done with it."""

    noted: list[str]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        self.noted.append(ufunc.__name__)
        plain = [x.view(np.ndarray) if isinstance(x, Counted) else x for x in inputs]
        if out is not None:
            options["out"] = tuple(x.view(np.ndarray) if isinstance(x, Counted) else x for x in out)
        result = getattr(ufunc, method)(*plain, **options)
        return out[0] if out is not None else counted(result, self.noted)


def counted(x: Any, noted: list[str]) -> Counted:
    result = np.asarray(x).view(Counted)
    result.noted = noted
    return result


def _gelu(x: np.ndarray) -> np.ndarray:
    return ops.gelu_tanh_forward(x)[0]


def _activations(rng: np.random.Generator) -> Iterator[tuple]:
    for shape in ((3,), (2, 4, 5)):
        yield (2 * rng.standard_normal(shape),)


_value = Function(
    _gelu,
    _activations,
    mistakes=[
        Mistake(lambda x: ops.gelu_erf_forward(x)[0], "That is the form with erf."),
        Mistake(lambda x: 2 * _gelu(x), "The ½ is missing."),
    ],
)


def _lean_gelu(answer: Any) -> None:
    _value(answer)
    noted: list[str] = []
    answer(counted(np.linspace(-3, 3, 7), noted))
    if not noted:
        raise WrongAnswer("the check saw no operation on x; work on the array as it is given.")
    if "power" in noted or "float_power" in noted:
        raise WrongAnswer("the value is right, but there is a power in it.")
    if len(noted) > OPERATIONS:
        raise WrongAnswer(f"the value is right, but it takes {len(noted)} operations: {', '.join(noted)}.")


def _adamw(
    p: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float,
) -> None:
    specs = (ParameterSpec("p", (1, p.size)),)  # a matrix: it decays
    optimizer = AdamW(Parameters(specs, p), OptimizerConfig("adamw", beta1, beta2, eps, decay))
    optimizer.m, optimizer.v, optimizer.updates = m, v, step - 1
    optimizer.step(Parameters(specs, p), Parameters(specs, g), lr)


def _moments(rng: np.random.Generator, size: int) -> tuple:
    p, g, m = rng.standard_normal((3, size))
    return p, g, 0.1 * m, 0.01 * rng.random(size)


def _updates(rng: np.random.Generator) -> Iterator[tuple]:
    yield *_moments(rng, 3), 1, 1e-2, 0.9, 0.99, 1e-8, 0.0
    yield *_moments(rng, 5), 7, 1e-2, 0.8, 0.95, 1e-3, 0.1


def _uncorrected(p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, step: int, *rest: float) -> None:
    _adamw(p, g, m, v, 10**9, *rest)


_update = Function(
    _adamw,
    _updates,
    mistakes=[Mistake(_uncorrected, "m and v are not divided by 1 − βᵗ: at first they are too small.")],
)


def _adamw_in_place(answer: Any) -> None:
    _update(answer)
    size = 1 << 16
    arrays = _moments(np.random.default_rng(0), size)
    tracemalloc.start()
    try:
        answer(*arrays, 3, 1e-2, 0.9, 0.99, 1e-8, 0.1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    scratch = peak / arrays[0].nbytes
    if scratch > 2.1:
        raise WrongAnswer(
            f"the values are right, but at its peak the function holds {scratch:.1f} arrays of the size of p; "
            "two are enough."
        )


def _unnormalised(exponentials: np.ndarray, v: np.ndarray, dy: np.ndarray) -> tuple:
    p = exponentials / exponentials.sum(axis=1, keepdims=True)
    return p @ v, p.T @ dy


def _attentions(rng: np.random.Generator) -> Iterator[tuple]:
    for t, s, d in ((1, 1, 1), (3, 4, 2), (5, 7, 8)):
        yield np.exp(rng.standard_normal((t, s))), rng.standard_normal((s, d)), rng.standard_normal((t, d))


def _intensity(m: int, n: int, p: int, bytes_per_number: int) -> float:
    return 2 * m * n * p / (bytes_per_number * (m * n + n * p + m * p))


def _products(rng: np.random.Generator) -> Iterator[tuple]:
    yield 1, 1, 1, 4
    yield 768, 128, 512, 4
    yield 1, 4096, 4096, 2


def _drawn_products(rng: np.random.Generator) -> Iterator[tuple]:
    yield tuple(rng.integers(2, 500, 4).tolist())


EXERCISES = (
    Exercise(
        "x³ is x · x · x, and x can be taken out of the bracket: u = √(2/π) · x · (1 + 0.044715 · (x · x)).", _lean_gelu
    ),
    Exercise(
        "m *= beta1 changes m where it is; np.multiply(g, 1 − beta1, out=scratch) writes into memory you have.",
        _adamw_in_place,
    ),
    Exercise(
        "with l the row sums of E: O = (E V)/l, and dV = Eᵀ (dO/l).",
        Function(
            _unnormalised,
            _attentions,
            mistakes=[
                Mistake(
                    lambda e, v, dy: (_unnormalised(e, v, dy)[0], e.T @ dy),
                    "dV has to be divided too: each query's row of dO by that query's l.",
                ),
                Mistake(lambda e, v, dy: (e @ v, e.T @ dy), "Nothing was divided by l."),
            ],
        ),
    ),
    Exercise(
        "2 m n p FLOPs; three matrices of m n, n p and m p numbers.",
        Function(
            _intensity,
            _products,
            drawn=_drawn_products,
            mistakes=[
                Mistake(lambda m, n, p, b: _intensity(m, n, p, b) / 2, "A multiplication and an addition are two."),
                Mistake(lambda m, n, p, b: _intensity(m, n, p, 1), "The question was for bytes, not numbers."),
            ],
        ),
    ),
)
