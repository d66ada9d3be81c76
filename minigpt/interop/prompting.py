"""Text in, text out, for models of other implementations: as `generate()` of transformers goes on from the text's ids.

The text gets the special tokens that the original adds, the model's own settings count, and a text ends where the model
says so. What runs of ours write is up to their objective (see `minigpt.train.objectives`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from minigpt.core.errors import UserError
from minigpt.generate.sampling import continuation, prompt_ids, text_pieces
from minigpt.generate.settings import Generation, is_setting
from minigpt.interop.adapters import Seq2SeqAdapter, adapter_of
from minigpt.interop.adapters.base import count_new
from minigpt.interop.opened import Opened
from minigpt.tokenizers import encode_text
from minigpt.train.settings import SampleConfig

# What minigpt calls some settings in `minigpt sample` and in a run's configuration.
NAMES = {"beams": "num_beams", "no_repeat_ngram": "no_repeat_ngram_size", "tokens": "max_new_tokens"}


def own_settings(sample: SampleConfig, given: Mapping[str, Any], tokens: int, temperature: float) -> SampleConfig:
    """The settings for what a run of ours writes, from those of its configuration.

    Raises:
        UserError: there is no such setting, or its value cannot be.
    """
    names = {theirs: ours for ours, theirs in NAMES.items()}
    known = {field.name for field in dataclasses.fields(SampleConfig)}
    values: dict[str, Any] = {"tokens": tokens, "temperature": temperature}
    for name, value in given.items():
        if (ours := names.get(name, name)) not in known:
            raise UserError(f"a run of minigpt's own has no setting {name} for its texts: there are {', '.join(known)}")
        values |= {ours: value} if value is not None else {}
    return dataclasses.replace(sample, **values)


def text_settings(loaded: Opened, given: Mapping[str, Any], tokens: int, temperature: float) -> Generation:
    """The settings for writing a text. Tokens are drawn unless the temperature is 0, the model's own settings say
    otherwise, or there is a search.

    Args:
        given: settings under either name; a temperature of 0 takes the most probable token, any other one draws.
        tokens, temperature: where neither `given` nor the model says anything.
    """
    given = {NAMES.get(name, name): value for name, value in given.items() if value is not None}
    for name in given:
        if not is_setting(name):
            raise UserError(f"there is no setting {name} for generating: see minigpt.generate.settings.Generation")
    given |= {"num_beams": 1} if given.get("num_beams") == 0 else {}
    own = loaded.generation or {}
    if (wanted := given.get("temperature")) is not None:
        given = {"do_sample": wanted > 0} | ({"num_beams": 1} if wanted > 0 else {}) | given
    elif "do_sample" not in given and (own.get("do_sample") is None or "num_beams" in given):
        given["do_sample"] = ((own | given).get("num_beams") or 1) == 1
    given["num_return_sequences"] = 1
    if own.get("temperature") is None:
        given.setdefault("temperature", temperature)
    if not {"max_new_tokens", "max_length"} & (own.keys() | given.keys()):
        given["max_new_tokens"] = tokens
    return loaded.settings(**given)


def written(loaded: Opened, prompt: str, g: Generation, seed: int) -> Iterator[str]:
    """What follows the prompt, or what an encoder–decoder makes of it, in pieces as they come.

    Raises:
        UserError: the prompt does not fit the context.
    """
    ids = encode_text(loaded.text, prompt).ids
    if adapter_of(loaded.model.family) is Seq2SeqAdapter:
        return _target(loaded, ids, g, seed)
    if not ids:
        ids = prompt_ids(loaded.text, "") if g.bos_token_id is None else [g.bos_token_id]
    new = count_new(g, len(ids), loaded.model.config.context)
    before = list(visible(loaded, ids))
    if g.num_beams > 1:
        found = _row(loaded, ids, g, new, seed)[len(ids) :]
    else:
        found = continuation(loaded.model, loaded.params, ids, new, g, seed=seed, vocab_size=loaded.text.vocab_size)
    return text_pieces(loaded.text, visible(loaded, found), before)


def _target(loaded: Opened, ids: list[int], g: Generation, seed: int) -> Iterator[str]:
    context = loaded.model.config.context
    if len(ids) > context:
        raise UserError(f"the source has {len(ids)} tokens, but the model's context is {context}; shorten it")
    new = min(count_new(g, 1, context), context - 1)
    found = _row(loaded, ids, g, new, seed)
    return text_pieces(loaded.text, visible(loaded, found[1:]))


def _row(loaded: Opened, ids: list[int], g: Generation, new: int, seed: int) -> np.ndarray:
    return loaded.generate_ids([ids], seed=seed, **(dataclasses.asdict(g) | {"max_new_tokens": new}))[0]


def visible(loaded: Opened, ids: Iterable[int]) -> Iterator[int]:
    """Without the special tokens."""
    hidden = set(loaded.text.special_tokens.values())
    return (int(i) for i in ids if int(i) not in hidden)
