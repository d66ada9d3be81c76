"""Decoder-only models: `input_ids` and `attention_mask` in, the scores of the next token out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigpt.adapters.generation import Choose, GenerationSettings, search_ids
from minigpt.backend import Array, Backend, array_module, backend_of
from minigpt.data.batch import Batch
from minigpt.errors import UserError
from minigpt.ops import IGNORE
from minigpt.params import Parameters
from minigpt.run import Run

INPUTS = ("input_ids", "attention_mask", "labels")


def _key_padding(inputs: Mapping[str, Array]) -> Array | None:
    mask = inputs.get("attention_mask")
    return None if mask is None else mask.astype(bool)


def logits(model: Any, params: Parameters, inputs: Mapping[str, Array], run: Run) -> Array:
    """Scores (B, T, V) of the next token at every position."""
    return model.logits(params, inputs["input_ids"], run, _key_padding(inputs))


def batch(model: Any, inputs: Mapping[str, Array]) -> Batch:
    """Labels (by default the input itself) are shifted: labels[:, t] is what the model should say after t tokens."""
    ids = inputs["input_ids"]
    labels = inputs.get("labels", ids)
    if labels.shape != ids.shape:
        raise UserError(f"labels has shape {labels.shape}, input_ids {ids.shape}")
    targets = array_module(ids).full(ids.shape, IGNORE, dtype=np.int64)
    targets[:, :-1] = labels[:, 1:]
    return Batch(ids, targets, _key_padding(inputs))


def generate_ids(
    model: Any, params: Parameters, inputs: Mapping[str, Array], run: Run, choose: Choose, settings: GenerationSettings
) -> np.ndarray:
    """Continue every row, left-padded to one length: (B, T) to (B, T + new), padding after a row has ended."""
    backend = backend_of(params.flat)
    ids = backend.to_host(inputs["input_ids"])
    lengths = _real_lengths(inputs, ids.shape, backend)
    if (longest := int(lengths.max()) + settings.max_new_tokens) > model.config.context:
        raise UserError(f"prompt and new tokens come to {longest}, but the model's context is {model.config.context}")
    # Columns of nothing but padding take no room; but a search's lengths count them, as transformers' do
    empty, ids = np.split(ids, [0 if settings.search else ids.shape[1] - int(lengths.max())], axis=1)
    pad = settings.pad if settings.pad is not None else settings.eos[0] if settings.eos else 0
    key_padding = None
    if (lengths < ids.shape[1]).any():
        key_padding = backend.asarray(np.arange(ids.shape[1]) >= ids.shape[1] - lengths[:, None])
    prompt = Batch(backend.asarray(ids), backend.asarray(ids), key_padding)
    state = model.start(params, prompt, ids.shape[1] + settings.max_new_tokens, run)
    if settings.search:
        if len(settings.eos) != 1:
            raise UserError("a search needs to know the one id that ends a text: give eos_token_id")
        return search_ids(model, params, state, ids, settings, eos=settings.eos[0], pad=pad)
    text, alive, rows = ids, np.ones(len(ids), dtype=bool), np.arange(len(ids))
    for step in range(settings.max_new_tokens):
        scores, state = model.step(params, backend.asarray(text if step == 0 else text[:, -1:]), state)
        chosen = np.where(alive, choose(backend.to_host(scores), rows), pad)
        text = np.concatenate([text, chosen[:, None]], axis=1)
        alive &= ~np.isin(chosen, settings.eos)
        if not alive.any():
            break
    return np.concatenate([empty, text], axis=1)


def _real_lengths(inputs: Mapping[str, Array], shape: tuple[int, int], backend: Backend) -> np.ndarray:
    """How many real tokens each row ends in."""
    if "attention_mask" not in inputs:
        return np.full(shape[0], shape[1])
    mask = backend.to_host(inputs["attention_mask"]).astype(bool)
    if not mask[:, -1].all() or (np.diff(mask.astype(np.int8), axis=1) < 0).any():
        raise UserError("generation needs rows that are padded on the left: attention_mask 0 … 0 1 … 1, the last one 1")
    return mask.sum(axis=1)
