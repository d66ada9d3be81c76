"""Exercises of notebook 16, Llama."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minigpt import ops
from minigpt.lab.exercises.checks import Exercise, Function, Mistake


def _rmsnorm_backward(dy: np.ndarray, x: np.ndarray, gain: np.ndarray, eps: float) -> np.ndarray:
    _, cache = ops.rmsnorm_forward(x, gain, eps=eps)
    return ops.rmsnorm_backward(dy, cache, np.zeros_like(gain))


def _layernorm_backward(dy: np.ndarray, x: np.ndarray, gain: np.ndarray, eps: float) -> np.ndarray:
    _, cache = ops.layernorm_forward(x, gain, eps=eps)
    return ops.layernorm_backward(dy, cache, np.zeros_like(gain))


def _norms(rng: np.random.Generator) -> Iterator[tuple]:
    for shape, eps in (((4,), 1e-6), ((3, 5), 1e-2), ((2, 3, 7), 0.5)):
        yield rng.standard_normal(shape), rng.standard_normal(shape), 1 + 0.3 * rng.standard_normal(shape[-1]), eps


def _without_gain(dy: np.ndarray, x: np.ndarray, gain: np.ndarray, eps: float) -> np.ndarray:
    return _rmsnorm_backward(dy, x, np.ones_like(gain), eps)


def _rotate(x: np.ndarray, position: int, base: float, layout: str = "interleaved") -> np.ndarray:
    rope = ops.Rope(base=base, layout=layout)
    return ops.rope_forward(x[None, None, None], rope, positions=position)[0][0, 0, 0]


def _heads(rng: np.random.Generator) -> Iterator[tuple]:
    for width, position, base in ((2, 1, 10000.0), (4, 3, 10.0), (8, 17, 500000.0)):
        yield rng.standard_normal(width), position, base


def _swiglu_backward(dy: np.ndarray, gate: np.ndarray, up: np.ndarray) -> tuple:
    _, cache = ops.swiglu_forward(np.concatenate([gate, up], axis=-1))
    dx = ops.swiglu_backward(dy, cache)
    return dx[..., : dy.shape[-1]], dx[..., dy.shape[-1] :]


def _sigmoid_gate(dy: np.ndarray, gate: np.ndarray, up: np.ndarray) -> tuple:
    s = 1 / (1 + np.exp(-gate))
    return dy * up * s * (1 - s), dy * s


def _gates(rng: np.random.Generator) -> Iterator[tuple]:
    for shape in ((3,), (2, 4, 5)):
        yield tuple(rng.standard_normal((3, *shape)))


def _cache_bytes(rows: int, tokens: int, layers: int, kv_heads: int, head_width: int, bytes_per_number: int) -> int:
    return 2 * rows * tokens * layers * kv_heads * head_width * bytes_per_number


def _caches(rng: np.random.Generator) -> Iterator[tuple]:
    yield 1, 1, 1, 1, 1, 1
    yield 1, 4096, 80, 8, 128, 2
    yield 3, 100, 4, 2, 32, 4


def _drawn_caches(rng: np.random.Generator) -> Iterator[tuple]:
    yield tuple(rng.integers(2, 60, 6).tolist())


def _meta_to_halves(weight: np.ndarray, heads: int) -> np.ndarray:
    rows, width = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


def _halves_to_meta(weight: np.ndarray, heads: int) -> np.ndarray:
    rows, width = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)


def _weights(rng: np.random.Generator) -> Iterator[tuple]:
    for heads, width, inputs in ((1, 8, 3), (2, 6, 4), (3, 10, 5)):
        yield rng.standard_normal((heads * width, inputs)), heads


EXERCISES = (
    Exercise(
        "with g = dy γ and x̂ = x/r: dx = (g − x̂ · mean(g x̂)) / r; ε stands under the root.",
        Function(
            _rmsnorm_backward,
            _norms,
            mistakes=[
                Mistake(_layernorm_backward, "That is LayerNorm's: nothing is taken off here."),
                Mistake(_without_gain, "The gain is missing: g = dy γ."),
            ],
        ),
    ),
    Exercise(
        "θ_j = base^(−2j/D); a = x[0::2] and b = x[1::2] become a cos − b sin and a sin + b cos, and go back where "
        "they came from.",
        Function(
            _rotate,
            _heads,
            mistakes=[
                Mistake(lambda x, m, base: _rotate(x, m, base, "half"), "That is the layout of halves."),
                Mistake(lambda x, m, base: _rotate(x, -m, base), "It is turned the other way."),
            ],
        ),
    ),
    Exercise(
        "SiLU(a) = a σ(a) has the derivative σ (1 + a (1 − σ)); each factor's gradient has the other factor in it.",
        Function(
            _swiglu_backward,
            _gates,
            mistakes=[
                Mistake(lambda dy, a, b: _swiglu_backward(dy, a, b)[::-1], "da comes first, then db."),
                Mistake(_sigmoid_gate, "The gate is a σ(a), not σ(a)."),
            ],
        ),
    ),
    Exercise(
        "a key and a value of D numbers for each row, token, layer and key-value head.",
        Function(
            _cache_bytes,
            _caches,
            drawn=_drawn_caches,
            mistakes=[Mistake(lambda *n: _cache_bytes(*n) // 2, "Keys and values are two.")],
        ),
    ),
    Exercise(
        "view the rows as (H, D/2, 2, C): of each pair the two numbers. Halves are (H, 2, D/2, C).",
        Function(
            _meta_to_halves,
            _weights,
            mistakes=[
                Mistake(_halves_to_meta, "That is the way back, from halves to pairs."),
                Mistake(lambda w, heads: _meta_to_halves(w, 1), "Each head has its own order."),
            ],
        ),
    ),
)
