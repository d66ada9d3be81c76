"""Exercises of notebook 6, blocks and a whole GPT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minigpt import ops
from minigpt.lab.exercises.checks import Exercise, Function, Mistake, WrongAnswer
from minigpt.models import GPT, GPTConfig
from minigpt.ops.norm import LayerNormCache


def _squared_relu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    return 2.0 * dy * np.maximum(x, 0)


def _activations(rng: np.random.Generator) -> Iterator[tuple]:
    for shape in ((3,), (2, 4, 5)):
        yield rng.standard_normal(shape), rng.standard_normal(shape)


def _parameter_count(vocab_size: int, context: int, layers: int, width: int, norm: str) -> int:
    return GPT(GPTConfig(vocab_size, context, layers, 1, width, norm=norm)).parameter_count


def _without(part: Any) -> Any:
    return lambda v, t, n, c, norm: _parameter_count(v, t, n, c, norm) - part(v, t, n, c, norm)


def _sizes(rng: np.random.Generator) -> Iterator[tuple]:
    yield 11, 7, 1, 4, "pre"
    yield 65, 64, 3, 8, "post"
    yield 50257, 1024, 12, 768, "pre"


def _drawn_sizes(rng: np.random.Generator) -> Iterator[tuple]:
    for norm in ("pre", "post"):
        yield (*rng.integers(2, 60, 2).tolist(), int(rng.integers(1, 4)), int(rng.integers(2, 20)), norm)


def _step_flops(batch: int, context: int, layers: int, width: int, vocab_size: int) -> int:
    matrices = 12 * layers * width * width + vocab_size * width
    return batch * context * (6 * matrices + 12 * layers * context * width)


def _steps(rng: np.random.Generator) -> Iterator[tuple]:
    yield 1, 1, 1, 1, 1
    yield 3, 5, 2, 8, 11
    yield 8, 1024, 12, 768, 50257


def _drawn_steps(rng: np.random.Generator) -> Iterator[tuple]:
    yield tuple(rng.integers(2, 100, 5).tolist())


def _layernorm_backward(dy: np.ndarray, cache: LayerNormCache, dgain: np.ndarray, dbias: np.ndarray) -> np.ndarray:
    return ops.layernorm_backward(dy, cache, dgain, dbias)


def _norms(rng: np.random.Generator) -> Iterator[tuple]:
    for shape in ((3, 5), (2, 3, 7)):
        gain = 1 + 0.3 * rng.standard_normal(shape[-1])
        _, cache = ops.layernorm_forward(rng.standard_normal(shape), gain)
        yield rng.standard_normal(shape), cache, np.zeros_like(gain), np.zeros_like(gain)


def _not_another(answer: Any) -> None:
    """The repaired function's name says where the reader saw the bug."""
    name = getattr(answer, "__name__", "")
    if name in ("linear_backward", "gelu_tanh_backward"):
        raise WrongAnswer(f"nothing was wrong with {name}: the checks of its operation pass.")


EXERCISES = (
    Exercise(
        "d/dx max(0, x)² = 2 max(0, x), on both sides of 0.",
        Function(
            _squared_relu_backward,
            _activations,
            mistakes=[
                Mistake(lambda dy, x: dy * np.maximum(x, 0), "The 2 is missing."),
                Mistake(lambda dy, x: 2 * dy * x, "Where x is negative, y is 0 and stays so."),
                Mistake(lambda dy, x: 2 * dy * (x > 0), "That is twice the derivative of max(0, x)."),
            ],
        ),
    ),
    Exercise(
        "12 C² + 13 C for a block; around them V C, context · C, and 2 C if there is a final norm.",
        Function(
            _parameter_count,
            _sizes,
            drawn=_drawn_sizes,
            mistakes=[
                Mistake(_without(lambda v, t, n, c, norm: 13 * n * c), "Biases and norms of the blocks are missing."),
                Mistake(_without(lambda v, t, n, c, norm: -v * c), "The tied matrix counts once."),
                Mistake(_without(lambda v, t, n, c, norm: t * c), "The positions are missing."),
                Mistake(
                    _without(lambda v, t, n, c, norm: 2 * c if norm == "pre" else -2 * c),
                    "The final norm belongs to pre-norm.",
                ),
            ],
        ),
    ),
    Exercise(
        "forward 2 FLOPs a number and token for each matrix, and 4 T C a layer and token for attention; "
        "backward twice as much.",
        Function(
            _step_flops,
            _steps,
            drawn=_drawn_steps,
            mistakes=[
                Mistake(
                    lambda b, t, n, c, v: 6 * b * t * (12 * n * c * c + v * c),
                    "Scores and weighted sums are missing: they multiply too, though they have no parameters.",
                ),
                Mistake(lambda *sizes: _step_flops(*sizes) // 3, "That is the forward pass alone."),
                Mistake(lambda *sizes: _step_flops(*sizes) // 2, "A multiplication and an addition are two."),
            ],
        ),
    ),
    Exercise(
        "what differs from 1 in the checks' parameters and equals 1 in a fresh model's?",
        Function(_layernorm_backward, _norms, before=_not_another),
    ),
)
