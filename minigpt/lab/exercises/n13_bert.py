"""Exercises of notebook 13, BERT."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minigpt.data.masking import KEPT, MASKED
from minigpt.lab.exercises.checks import Exercise, Function, Mistake, Value


def _hide(ids: np.ndarray, chosen: np.ndarray, u: np.ndarray, random: np.ndarray, mask_id: int) -> np.ndarray:
    seen = ids.copy()
    seen[chosen] = np.select([u < MASKED, u < MASKED + KEPT], [np.full_like(random, mask_id), ids[chosen]], random)
    return seen


def _rows(rng: np.random.Generator) -> Iterator[tuple]:
    for t, m in ((5, 1), (20, 3), (400, 60)):
        chosen = np.sort(rng.permutation(t)[:m])
        yield rng.integers(10, 90, t), chosen, rng.random(m), rng.integers(10, 90, m), 3


def _hide_all(ids: np.ndarray, chosen: np.ndarray, u: np.ndarray, random: np.ndarray, mask_id: int) -> np.ndarray:
    return _hide(ids, chosen, np.zeros_like(u), random, mask_id)


def _hide_the_rest(ids: np.ndarray, chosen: np.ndarray, u: np.ndarray, random: np.ndarray, mask_id: int) -> np.ndarray:
    return _hide(ids, chosen, np.where(u < MASKED, u, 1 + MASKED - u), random, mask_id)


def _pooler_backward(dc: np.ndarray, c: np.ndarray, weight: np.ndarray, tokens: int) -> np.ndarray:
    dx = np.zeros((len(dc), tokens, dc.shape[1]))
    dx[:, 0] = (dc * (1 - c * c)) @ weight.T
    return dx


def _pooled(rng: np.random.Generator) -> Iterator[tuple]:
    for b, t, c in ((1, 2, 3), (4, 5, 6)):
        yield rng.standard_normal((b, c)), np.tanh(rng.standard_normal((b, c))), rng.standard_normal((c, c)), t


def _all_places(dc: np.ndarray, c: np.ndarray, weight: np.ndarray, tokens: int) -> np.ndarray:
    return np.repeat(_pooler_backward(dc, c, weight, tokens)[:, :1], tokens, axis=1)


def _without_tanh(dc: np.ndarray, c: np.ndarray, weight: np.ndarray, tokens: int) -> np.ndarray:
    return _pooler_backward(dc, np.zeros_like(c), weight, tokens)


def _untransposed(dc: np.ndarray, c: np.ndarray, weight: np.ndarray, tokens: int) -> np.ndarray:
    return _pooler_backward(dc, c, weight.T, tokens)


def _pair_row(a: list[int], b: list[int], cls: int, sep: int, pad: int, width: int) -> tuple:
    ids = [cls, *a, sep, *b, sep]
    types = [0] * (len(a) + 2) + [1] * (len(b) + 1)
    rest = width - len(ids)
    return np.array(ids + [pad] * rest), np.array(types + [0] * rest), np.arange(width) < len(ids)


def _pairs(rng: np.random.Generator) -> Iterator[tuple]:
    for n, m, width in ((1, 1, 5), (3, 2, 10), (2, 5, 16)):
        yield rng.integers(5, 99, n).tolist(), rng.integers(5, 99, m).tolist(), 2, 3, 0, width


def _other_types(*arguments) -> tuple:
    """The [SEP] between the two counted to B."""
    ids, types, real = _pair_row(*arguments)
    types[len(arguments[0]) + 1] = 1
    return ids, types, real


EXERCISES = (
    Exercise(
        "copy the ids; at the chosen places put mask_id where u < 0.8, leave them below 0.9, else the random token.",
        Function(
            _hide,
            _rows,
            mistakes=[
                Mistake(_hide_all, "Every chosen token is [MASK]: only 80% of them should be."),
                Mistake(_hide_the_rest, "The two tenths are exchanged: below 0.9 a token is left."),
            ],
        ),
    ),
    Exercise(
        "c = tanh(a) with a = x_[CLS] W + b: da = dc (1 − c²), and dx_[CLS] = da Wᵀ; nothing else reads other places.",
        Function(
            _pooler_backward,
            _pooled,
            mistakes=[
                Mistake(_all_places, "Only the state at place 0 is read."),
                Mistake(_without_tanh, "The derivative of tanh is missing: 1 − c²."),
                Mistake(_untransposed, "W must be transposed on the way back."),
            ],
        ),
    ),
    Exercise(
        "0.15 · 128 = 19.2, and of the 19, 80% become [MASK] and 10% another token.",
        Value(
            lambda: round(0.15 * 128) * (1 - KEPT),
            bound=1e-6,
            mistakes=[
                Mistake(19, "A tenth of them are left as they are."),
                Mistake(19 * 0.8, "The replaced ones are not what they were either."),
                Mistake(0.15 * 128 * 0.9, "The number of chosen tokens is rounded."),
            ],
        ),
    ),
    Exercise(
        "[CLS] and the first [SEP] belong to A; padding has type 0, and the key mask is False there.",
        Function(
            _pair_row,
            _pairs,
            mistakes=[Mistake(_other_types, "The first [SEP] ends A, so its type is 0.")],
        ),
    ),
)
