"""BERT: what Hugging Face's `BertForPreTraining`, `BertForMaskedLM` and the classes with a task's head take.

Labels are not shifted: where a label is not −100, it says what the token at that very place was before it was hidden.
A label of 0 for a pair, a class or a place is a label like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minigpt.blocks.run import Run
from minigpt.core.backend import Array, array_module
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.data.bert_batch import BertBatch
from minigpt.generate.settings import Generation
from minigpt.interop.adapters.generation import key_padding
from minigpt.ops import IGNORE

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "labels", "next_sentence_label")
IDS: dict[str, str] = {}


class PretrainingLogits(NamedTuple):
    """The scores of both heads, under Hugging Face's names."""

    prediction_logits: Array  # (B, T, V)
    seq_relationship_logits: Array  # (B, 2): next, not next


def _common(model: Any, inputs: Mapping[str, Array]) -> tuple[Array, Array | None, Array | None]:
    """Ids, token types and padding."""
    ids, types = inputs["input_ids"], inputs.get("token_type_ids")
    if types is not None and not model.config.token_types:
        raise UserError("this model has no token types: leave token_type_ids out")
    if types is not None and types.shape != ids.shape:
        raise UserError(f"token_type_ids has shape {types.shape}, input_ids {ids.shape}")
    return ids, types, key_padding(inputs)


def logits(model: Any, params: Parameters, inputs: Mapping[str, Array], run: Run) -> Any:
    """Scores (B, T, V) of the token at every place; with sentence pairs, `PretrainingLogits`."""
    ids, types, padding = _common(model, inputs)
    scores = model.logits(params, ids, run, padding, types)
    if not model.config.pairs:
        return scores
    return PretrainingLogits(scores, model.pair_logits(params, ids, run, padding, types))


def depth(model: Any) -> int:
    return model.config.layers


def hidden_states(model: Any, params: Parameters, inputs: Mapping[str, Array], run: Run, layer: int) -> Array:
    """States (B, T, C): 0 what the first layer reads, n what the n-th gives."""
    ids, types, padding = _common(model, inputs)
    return model.body_forward(params, ids, run, types, padding, layers=layer)[0]


def batch(model: Any, inputs: Mapping[str, Array]) -> BertBatch:
    """The labelled places of every row, and the labels of the pairs.

    Raises:
        UserError: a shape does not fit, or there are no labels (BERT cannot learn from its input alone).
    """
    ids, types, padding = _common(model, inputs)
    labels, pairs = inputs.get("labels"), inputs.get("next_sentence_label")
    if labels is None:
        raise UserError("BERT's loss needs labels: the ids of the hidden tokens, −100 everywhere else")
    if labels.shape != ids.shape:
        raise UserError(f"labels has shape {labels.shape}, input_ids {ids.shape}")
    if pairs is not None and pairs.shape not in ((len(ids),), (len(ids), 1)):
        raise UserError(f"next_sentence_label has shape {pairs.shape}; it must be ({len(ids)},), one for each row")
    xp = array_module(ids)
    chosen = labels != IGNORE
    most = max(1, int(chosen.sum(axis=1).max()))
    places = xp.argsort(~chosen, axis=1, kind="stable")[:, :most]  # the labelled ones first
    targets = xp.take_along_axis(labels, places, axis=1).astype(np.int64)
    types = xp.zeros_like(ids) if types is None else types
    return BertBatch(ids, types, places, targets, None if pairs is None else pairs.reshape(-1), padding)


def generate_ids(
    model: Any, params: Parameters, inputs: Mapping[str, Array], run: Run, g: Generation, seed: int
) -> Array:
    """There is no such thing: BERT sees both sides of what it predicts."""
    raise UserError("BERT does not continue a text; it fills in [MASK] (minigpt sample --prompt, or logits)")
