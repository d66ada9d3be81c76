"""What generating from ids has in common for all families: how long, how the next token is chosen, when a row ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minigpt.core.backend import Array, backend_of
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.data.batch import pad_rows
from minigpt.generate import beam
from minigpt.generate.beam import Search
from minigpt.generate.processors import Process, process
from minigpt.generate.sampling import drawing_probabilities
from minigpt.generate.settings import Generation

Choose = Callable[[np.ndarray, np.ndarray], np.ndarray]  # scores (b, V) and the rows' numbers (b,) to ids (b,)
DEFAULT_NEW = 20  # tokens, where nobody says how many; transformers' default


def key_padding(inputs: Mapping[str, Array]) -> Array | None:
    """(B, T) True at real tokens, as an attention_mask says it; None where there is none."""
    mask = inputs.get("attention_mask")
    return None if mask is None else mask.astype(bool)


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


def generate_rows(
    model: Any,
    params: Parameters,
    state: Any,
    text: np.ndarray,
    unread: np.ndarray,
    g: Generation,
    steps: Sequence[Process],
    *,
    new: int,
    seed: int,
) -> np.ndarray:
    """Continue every row: (B, P) to (B, P + new), or to where the last row ends; padding after a row's end.

    Args:
        text: what the settings see, padding included.
        unread: (B, T) its last columns, which the model reads first.
        steps: what happens to the scores (see `minigpt.generate.processors`).
    """
    if g.num_beams > 1:
        return _searched(model, params, state, text, g, steps, new)
    backend, rows = backend_of(params.flat), np.arange(len(text))
    choose = sampling(seed, g) if g.do_sample else greedy
    pad = padding(g)
    alive = np.ones(len(text), dtype=bool)
    for _ in range(new):
        scores, state = model.step(params, backend.asarray(unread), state)
        chosen = choose(process(backend.to_host(scores), text, steps), rows)
        unread = np.where(alive, chosen, pad)[:, None]
        text = np.concatenate([text, unread], axis=1)
        alive &= ~np.isin(unread[:, 0], g.eos_token_id)
        if not alive.any():
            break
    return text


def padding(g: Generation) -> int:
    """What follows in a row that has ended."""
    return g.pad_token_id if g.pad_token_id is not None else g.eos_token_id[0] if g.eos_token_id else 0


def _searched(
    model: Any, params: Parameters, state: Any, text: np.ndarray, g: Generation, steps: Sequence[Process], new: int
) -> np.ndarray:
    """The best texts of every row; transformers' search takes a padding id of 0 for none."""
    search = Search(
        beams=g.num_beams,
        length_penalty=g.length_penalty,
        early_stopping=g.early_stopping,
        max_length=text.shape[1] + new,
    )
    found = beam.generate(
        model, params, state, text, search, eos=g.eos_token_id, steps=steps, count=g.num_return_sequences
    )
    pad = g.eos_token_id[0] if g.eos_token_id and not g.pad_token_id else padding(g)
    return pad_rows([np.asarray(hypothesis.ids) for hypothesis in found], pad)


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
