"""Letting a causal model go on from many prompts at once, until each text says that it is complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minigpt.blocks.dispatch import operations
from minigpt.blocks.run import Run
from minigpt.core.backend import backend_of
from minigpt.data.batch import Batch
from minigpt.data.documents import END_OF_TEXT
from minigpt.evaluate.scoring import OnRow, by_length, first_ids, nobody
from minigpt.generate.settings import Generation
from minigpt.interop.adapters.base import Choose, greedy, sampling
from minigpt.interop.loaded import Loaded

_ROWS = 64  # of a batch


def ends_of_text(loaded: Loaded) -> tuple[int, ...]:
    """The ids after which a text is over, as far as the model knows any."""
    eos = loaded.ids.get("eos_token_id", ())
    known = (eos,) if isinstance(eos, int) else tuple(eos)
    special = loaded.text.special_tokens
    return (*known, special[END_OF_TEXT]) if END_OF_TEXT in special else known


def write(
    loaded: Loaded,
    prompts: Sequence[str],
    tokens: int,
    complete: Callable[[str], bool] = lambda text: False,
    *,
    top_k: int = 1,
    seed: int = 0,
    on_row: OnRow = nobody,
) -> list[str]:
    """What the model writes after each prompt: at most `tokens` tokens, no end-of-text token, nothing of the prompt.

    A prompt is cut on the left so that prompt and new tokens fit the context; half of the context is the most that new
    tokens take. Spaces at its end are left out, because a word's token begins with the space before it.

    Args:
        complete: whether what was written so far is enough.
        top_k: 1 takes the most probable token; more draws among so many, each prompt with draws of its own.
    """
    tokens = min(tokens, max(loaded.model.config.context // 2, 1))
    room, begin = loaded.model.config.context - tokens, first_ids(loaded)
    rows = [[*begin, *loaded.text.encode(prompt.rstrip(" "))][-room:] for prompt in prompts]
    choose = greedy if top_k == 1 else sampling(seed, Generation(do_sample=True, top_k=top_k))

    def written(numbers: Sequence[int]) -> list[str]:
        return _write_batch(loaded, np.array(numbers), rows, tokens, complete, choose)

    return by_length(rows, written, most=_ROWS, on_row=on_row)


def _write_batch(
    loaded: Loaded,
    numbers: np.ndarray,
    rows: Sequence[Sequence[int]],
    tokens: int,
    complete: Callable[[str], bool],
    choose: Choose,
) -> list[str]:
    """Continue the rows of these numbers together, padded on the left; those that are done leave the batch."""
    backend, ends = backend_of(loaded.params.flat), ends_of_text(loaded)
    state, ids = start_rows(loaded, [rows[i] for i in numbers], tokens)
    new: list[list[int]] = [[] for _ in numbers]
    alive = np.arange(len(numbers))
    for _ in range(tokens):
        scores, state = loaded.model.step(loaded.params, backend.asarray(ids), state)
        known = backend.to_host(scores)[:, : loaded.text.vocab_size]
        chosen = choose(known, numbers[alive])
        going_on = []
        for place, (row, token) in enumerate(zip(alive.tolist(), chosen.tolist(), strict=True)):
            if token in ends:
                continue
            new[row].append(token)
            if not complete(loaded.text.decode(new[row])):
                going_on.append(place)
        if not going_on:
            break
        if len(going_on) < len(alive):
            state, alive, chosen = state.reorder(np.array(going_on)), alive[going_on], chosen[going_on]
        ids = chosen[:, None]
    return [loaded.text.decode(row) for row in new]


def start_rows(loaded: Loaded, rows: Sequence[Sequence[int]], tokens: int) -> tuple[object, np.ndarray]:
    """The state before rows of different lengths, padded on the left, are read, and the ids (R, T) to read first.

    Args:
        tokens: how many will be read after them.
    """
    backend, width = backend_of(loaded.params.flat), max(max(map(len, rows)), 1)
    ids = np.zeros((len(rows), width), dtype=np.int64)
    real = np.zeros((len(rows), width), dtype=bool)
    for place, keys, row in zip(ids, real, rows, strict=True):
        row = row or [0]  # nothing at all to start from: as `minigpt.generate.sampling.prompt_ids`
        place[-len(row) :], keys[-len(row) :] = row, True
    shared = backend.asarray(ids)
    padding = None if real.all() else backend.asarray(real)
    run = Run(ops=operations("auto", backend))
    return loaded.model.start(loaded.params, Batch(shared, shared, padding), width + tokens, run), ids
