"""Decoder-only models: `input_ids` and `attention_mask` in, the scores of the next token out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigpt.blocks.run import Run
from minigpt.core.backend import Array, Backend, array_module, backend_of
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.data.batch import Batch
from minigpt.generate.processors import processors
from minigpt.generate.settings import Generation
from minigpt.interop.adapters.generation import count_new, generate_rows, key_padding
from minigpt.models import CausalHead
from minigpt.ops import IGNORE

INPUTS = ("input_ids", "attention_mask", "labels")
IDS: dict[str, str] = {}


def logits(model: Any, params: Parameters, inputs: Mapping[str, Array], run: Run) -> Array:
    """Scores (B, T, V) of the next token at every position."""
    return model.logits(params, inputs["input_ids"], run, key_padding(inputs))


def depth(model: Any) -> int:
    return model.config.layers


def hidden_states(model: Any, params: Parameters, inputs: Mapping[str, Array], run: Run, layer: int) -> Array:
    """States (B, T, C): 0 what the first layer reads, n what the n-th gives, the last one after the final norm."""
    body = model.body if isinstance(model, CausalHead) else model
    layers = None if layer == model.config.layers else layer
    return body.body_forward(params, inputs["input_ids"], run, key_padding(inputs), layers=layers)[0]


def batch(model: Any, inputs: Mapping[str, Array]) -> Batch:
    """Labels (by default the input itself) are shifted: labels[:, t] is what the model should say after t tokens."""
    ids = inputs["input_ids"]
    labels = inputs.get("labels", ids)
    if labels.shape != ids.shape:
        raise UserError(f"labels has shape {labels.shape}, input_ids {ids.shape}")
    targets = array_module(ids).full(ids.shape, IGNORE, dtype=np.int64)
    targets[:, :-1] = labels[:, 1:]
    return Batch(ids, targets, key_padding(inputs))


def generate_ids(
    model: Any, params: Parameters, inputs: Mapping[str, Array], run: Run, g: Generation, seed: int
) -> np.ndarray:
    """Continue every row, left-padded to one length: (B, T) to (B, T + new), padding after a row has ended."""
    backend, context = backend_of(params.flat), model.config.context
    text = backend.to_host(inputs["input_ids"])
    lengths = _real_lengths(inputs, text.shape, backend)
    new = count_new(g, text.shape[1], context)
    if (longest := int(lengths.max()) + new) > context:
        raise UserError(f"prompt and new tokens come to {longest}, but the model's context is {context}")
    real = np.arange(text.shape[1]) >= text.shape[1] - lengths[:, None]
    real = None if real.all() else real
    prompt, size = text.shape[1], model.config.vocab_size
    steps = processors(g, prompt=prompt, longest=prompt + new, source=text, real=real, vocab_size=size)
    # Columns of nothing but padding take no room; but the settings' lengths count them, and a search reads them
    first = text if g.num_beams > 1 else text[:, prompt - int(lengths.max()) :]
    seen = None if real is None else real[:, prompt - first.shape[1] :]
    shared = backend.asarray(first)
    batch_ = Batch(shared, shared, None if seen is None or seen.all() else backend.asarray(seen))
    state = model.start(params, batch_, first.shape[1] + new, run)
    return generate_rows(model, params, state, text, first, g, steps, new=new, seed=seed)


def _real_lengths(inputs: Mapping[str, Array], shape: tuple[int, int], backend: Backend) -> np.ndarray:
    """How many real tokens each row ends in."""
    if "attention_mask" not in inputs:
        return np.full(shape[0], shape[1])
    mask = backend.to_host(inputs["attention_mask"]).astype(bool)
    if not mask[:, -1].all() or (np.diff(mask.astype(np.int8), axis=1) < 0).any():
        raise UserError("generation needs rows that are padded on the left: attention_mask 0 … 0 1 … 1, the last one 1")
    return mask.sum(axis=1)
