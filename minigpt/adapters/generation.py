"""What generating from ids has in common for all families: when a row ends, and how the next token is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from minigpt import beam
from minigpt.beam import Search
from minigpt.data.batch import pad_rows
from minigpt.errors import UserError
from minigpt.generate import next_token_probabilities
from minigpt.params import Parameters

Choose = Callable[[np.ndarray, np.ndarray], np.ndarray]  # scores (b, V) and the rows' numbers (b,) to ids (b,)


SEARCHES = {  # what their generate() calls the settings of a search, and what `minigpt.beam.Search` does
    "num_beams": "beams",
    "length_penalty": "length_penalty",
    "early_stopping": "early_stopping",
    "no_repeat_ngram_size": "no_repeat_ngram",
    "min_length": "min_length",
    "forced_bos_token_id": "forced_bos",
    "forced_eos_token_id": "forced_eos",
}


class GenerationSettings(NamedTuple):
    """How far a row goes: at most `max_new_tokens`, until one of `eos`; then follows `pad` (None: nobody said what).

    `search` holds the settings of `minigpt.beam.Search` that were given; with any of them the row is searched for.
    """

    max_new_tokens: int
    eos: tuple[int, ...]
    pad: int | None
    search: Mapping[str, Any]


def generation_settings(max_new_tokens: int, ids: Mapping[str, Any], search: Mapping[str, Any]) -> GenerationSettings:
    """Put together what `generate_ids` was given.

    Args:
        ids: of the tokens that end and pad a text, as far as they are known; search: the settings of a search. Both
            have the names that Hugging Face uses.
    """
    if max_new_tokens < 1:
        raise UserError(f"max_new_tokens is {max_new_tokens}; it must be at least 1")
    eos = ids.get("eos_token_id", ())
    ends = (eos,) if isinstance(eos, int) else tuple(eos)
    return GenerationSettings(
        max_new_tokens, ends, ids.get("pad_token_id"), {SEARCHES[name]: value for name, value in search.items()}
    )


def search_ids(
    model: Any,
    params: Parameters,
    state: Any,
    prompt: np.ndarray,
    settings: GenerationSettings,
    *,
    eos: int,
    pad: int,
) -> np.ndarray:
    """Search for the best text of every row: (B, P) to (B, P + new), padding after a row's end."""
    longest = prompt.shape[1] + settings.max_new_tokens
    search = Search(**({"beams": 1, "max_length": longest} | settings.search))
    found = beam.generate(model, params, state, prompt, search, eos=eos)
    return pad_rows([np.asarray(hypothesis.ids) for hypothesis in found], pad)


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
