"""What generating from ids has in common for all families: when a row ends, and how the next token is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minigpt.errors import UserError
from minigpt.generate import next_token_probabilities

Choose = Callable[[np.ndarray, np.ndarray], np.ndarray]  # scores (b, V) and the rows' numbers (b,) to ids (b,)


class GenerationSettings(NamedTuple):
    """How far a row goes: at most `max_new_tokens`, until one of `eos`; then follows `pad`."""

    max_new_tokens: int
    eos: tuple[int, ...]
    pad: int


def generation_settings(max_new_tokens: int, eos: int | Sequence[int] | None, pad: int | None) -> GenerationSettings:
    if max_new_tokens < 1:
        raise UserError(f"max_new_tokens is {max_new_tokens}; it must be at least 1")
    ends = () if eos is None else (eos,) if isinstance(eos, int) else tuple(eos)
    return GenerationSettings(max_new_tokens, ends, pad if pad is not None else ends[0] if ends else 0)


def greedy(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The most probable token of each row."""
    return scores.argmax(axis=-1)


def sampling(seed: int, temperature: float, top_k: int, top_p: float) -> Choose:
    """Draw each row's token with a generator of its own, so that its neighbours do not matter."""
    generators: dict[int, np.random.Generator] = {}

    def choose(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
        chosen = np.empty(len(rows), dtype=np.int64)
        for n, row in enumerate(rows.tolist()):
            draw = generators.setdefault(row, np.random.default_rng([seed, row]))
            p = next_token_probabilities(scores[n], temperature=temperature, top_k=top_k, top_p=top_p)
            chosen[n] = draw.choice(len(p), p=p)
        return chosen

    return choose
