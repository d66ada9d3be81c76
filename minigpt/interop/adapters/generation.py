"""What generating from ids has in common for all families: how long, how the next token is chosen, and padding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigpt.core.errors import UserError
from minigpt.generate.sampling import drawing_probabilities
from minigpt.generate.settings import Generation

Choose = Callable[[np.ndarray, np.ndarray], np.ndarray]  # scores (b, V) and the rows' numbers (b,) to ids (b,)
DEFAULT_NEW = 20  # tokens, where nobody says how many; transformers' default


def count_new(g: Generation, prompt: int, context: int) -> int:
    """How many tokens may follow `prompt` of them: max_new_tokens, else up to max_length, else 20 if they fit.

    Raises:
        UserError: that is none.
    """
    if g.max_new_tokens is not None:
        return g.max_new_tokens
    longest = g.max_length if g.max_length is not None else min(prompt + DEFAULT_NEW, context)
    if longest <= prompt:
        raise UserError(f"the prompt has {prompt} tokens, which leaves no room below {longest}: give max_new_tokens")
    return longest - prompt


def padding(g: Generation) -> int:
    """What follows in a row that has ended."""
    return g.pad_token_id if g.pad_token_id is not None else g.eos_token_id[0] if g.eos_token_id else 0


def greedy(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The most probable token of each row."""
    return scores.argmax(axis=-1)


def sampling(seed: int, g: Generation) -> Choose:
    """Draw each row's token with a generator of its own, so that its neighbours do not matter."""
    generators: dict[int, np.random.Generator] = {}

    def choose(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
        chosen = np.empty(len(rows), dtype=np.int64)
        for n, row in enumerate(rows.tolist()):
            draw = generators.setdefault(row, np.random.default_rng([seed, row]))
            p = drawing_probabilities(scores[n], g)
            chosen[n] = draw.choice(len(p), p=p)
        return chosen

    return choose
