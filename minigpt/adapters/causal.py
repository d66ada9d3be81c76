"""Decoder-only models: `input_ids` and `attention_mask` in, the scores of the next token out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigpt.backend import Array, array_module
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


def batch(inputs: Mapping[str, Array]) -> Batch:
    """Labels (by default the input itself) are shifted: labels[:, t] is what the model should say after t tokens."""
    ids = inputs["input_ids"]
    labels = inputs.get("labels", ids)
    if labels.shape != ids.shape:
        raise UserError(f"labels has shape {labels.shape}, input_ids {ids.shape}")
    targets = array_module(ids).full(ids.shape, IGNORE, dtype=np.int64)
    targets[:, :-1] = labels[:, 1:]
    return Batch(ids, targets, _key_padding(inputs))
