"""Exercises of notebook 9, attention in CUDA."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigpt.kernels.emulator import ORDERS, EmulatedModule, Emulation
from minigpt.lab.exercises.checks import Exercise, Function, Mistake, NotAnswered, WrongAnswer

Part = tuple[float, float, np.ndarray]


def _merge(m1: float, l1: float, a1: np.ndarray, m2: float, l2: float, a2: np.ndarray) -> Part:
    m = max(m1, m2)
    if m == -math.inf:
        return m, 0.0, np.zeros_like(a1)
    r1, r2 = math.exp(m1 - m), math.exp(m2 - m)
    return m, r1 * l1 + r2 * l2, r1 * a1 + r2 * a2


def _part(rng: np.random.Generator, keys: int, width: int) -> Part:
    if not keys:
        return -math.inf, 0.0, np.zeros(width)
    z, v = 3 * rng.standard_normal(keys), rng.standard_normal((keys, width))
    m = float(z.max())
    e = np.exp(z - m)
    return m, float(e.sum()), e @ v


def _parts(rng: np.random.Generator) -> Iterator[tuple]:
    for keys1, keys2 in ((3, 4), (5, 1), (0, 2), (2, 0), (0, 0)):
        yield *_part(rng, keys1, 3), *_part(rng, keys2, 3)


def _tile_backward(
    dy: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray, lse: np.ndarray, delta: np.ndarray, scale: float
) -> tuple:
    p = np.exp(scale * (q @ k.T) - lse[:, None])
    dz = p * (dy @ v.T - delta[:, None])
    return scale * dz @ k, scale * dz.T @ q, p.T @ dy


def _tiles(rng: np.random.Generator) -> Iterator[tuple]:
    """Tiles of larger problems: a tile's probabilities do not sum to 1."""
    for t, s, d, rows, columns in ((4, 6, 3, slice(0, 2), slice(2, 5)), (7, 9, 5, slice(3, 7), slice(0, 9))):
        q, k, v, dy = (rng.standard_normal((n, d)) for n in (t, s, s, t))
        scale = 1 / math.sqrt(d)
        z = scale * (q @ k.T)
        m = z.max(axis=1)
        lse = m + np.log(np.exp(z - m[:, None]).sum(axis=1))
        delta = ((np.exp(z - lse[:, None]) @ v) * dy).sum(axis=1)
        yield dy[rows], q[rows], k[columns], v[columns], lse[rows], delta[rows], scale


CHUNKS = (8, 16, 4, 2)  # in a row


def _place(answer: Any) -> None:
    """Places are the row's own, each used once, and different modulo 8 where `ldmatrix` reads."""
    if not callable(answer):
        raise WrongAnswer("the answer must be a function.")
    for chunks in CHUNKS:
        places = np.empty((16, chunks), dtype=np.int64)
        for row, chunk in np.ndindex(16, chunks):
            place = answer(row, chunk, chunks)
            if place is None or place is ...:
                raise NotAnswered
            if place != int(place):
                raise WrongAnswer(f"place({row}, {chunk}, {chunks}) is {place}, but a place is a whole number.")
            places[row, chunk] = place
        for row, own in enumerate(places):
            if sorted(own) != list(range(row * chunks, (row + 1) * chunks)):
                raise WrongAnswer(
                    f"the {chunks} chunks of row {row} are at {own.tolist()}; they must fill the places "
                    f"{row * chunks} to {(row + 1) * chunks - 1}."
                )
        for first, chunk in np.ndindex(2, chunks):
            at = places[8 * first : 8 * first + 8, chunk] % 8
            if len(set(at.tolist())) < 8:
                raise WrongAnswer(
                    f"with {chunks} chunks a row, chunk {chunk} of the rows {8 * first} to {8 * first + 7} is at the "
                    f"places {at.tolist()} modulo 8: some are the same."
                )


def _differences(answer: Any) -> None:
    """The kernel is right in every order of its threads."""
    if not isinstance(answer, str):
        raise WrongAnswer("the answer must be the kernel's source, a text.")
    x = np.random.default_rng(2024).standard_normal(100).astype(np.float32)
    wanted = np.diff(x, prepend=np.float32(0))
    for order in ORDERS:
        y = np.zeros(100, np.float32)
        try:
            kernel = EmulatedModule(answer, emulation=Emulation(order)).get_function("differences")
            kernel((2,), (64,), (x, y, np.int32(100)), shared_mem=4 * 64)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise WrongAnswer(f"in the order {order}: {' '.join(str(error).split())}.") from None
        wrong = ~np.isclose(y, wanted)
        if wrong.any():
            i = int(wrong.argmax())
            raise WrongAnswer(f"in the order {order}, y[{i}] is {y[i]:.6g}, but it must be {wanted[i]:.6g}.")


EXERCISES = (
    Exercise(
        "the factors are exp(m1 − m) and exp(m2 − m) with m = max(m1, m2), and −∞ − (−∞) is not a number.",
        Function(
            _merge,
            _parts,
            mistakes=[
                Mistake(lambda m1, l1, a1, m2, l2, a2: (max(m1, m2), l1 + l2, a1 + a2), "Nothing was rescaled."),
                Mistake(
                    lambda m1, l1, a1, m2, l2, a2: (*_merge(m1, l1, a1, m2, l2, a2)[:2], a1 + a2),
                    "a has to be rescaled as l is.",
                ),
            ],
        ),
    ),
    Exercise(
        "P = exp(s Q Kᵀ − lse) is normalised already; then the lines under “Backwards without the matrix”.",
        Function(
            _tile_backward,
            _tiles,
            mistakes=[
                Mistake(
                    lambda dy, q, k, v, lse, delta, s: _tile_backward(dy, q, k, v, lse, 0 * delta, s),
                    "δ is missing: the softmax's gradient subtracts the row's sum.",
                ),
                Mistake(
                    lambda dy, q, k, v, lse, delta, s: (
                        *(x / s for x in _tile_backward(dy, q, k, v, lse, delta, s)[:2]),
                        _tile_backward(dy, q, k, v, lse, delta, s)[2],
                    ),
                    "The factor s is missing in dQ and dK.",
                ),
            ],
        ),
    ),
    Exercise(
        "with 8 chunks a row, row · 8 + (chunk xor row mod 8); shorter rows share 128 bytes, so the xor must change "
        "only every 8 / chunks rows.",
        _place,
        calls=[(row, chunk, chunks) for chunks in CHUNKS for row, chunk in np.ndindex(16, chunks)],
    ),
    Exercise(
        "between the write to s and the read there must be `__syncthreads();`, outside of the `if`: make two of it.",
        _differences,
    ),
)
