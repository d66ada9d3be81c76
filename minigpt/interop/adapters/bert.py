"""BERT: what Hugging Face's `BertForPreTraining`, `BertForMaskedLM` and the classes with a task's head take.

Labels are not shifted: where a label is not −100, it says what the token at that very place was before it was hidden.
A label of 0 for a pair, a class or a place is a label like any other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigpt.core.backend import Array, array_module
from minigpt.core.errors import UserError
from minigpt.data.bert_batch import BertBatch
from minigpt.generate.settings import Generation
from minigpt.interop.adapters.base import Adapter
from minigpt.ops import IGNORE


class PretrainingLogits(NamedTuple):
    """The scores of both heads, under Hugging Face's names."""

    prediction_logits: Array  # (B, T, V)
    seq_relationship_logits: Array  # (B, 2): next, not next


class BertAdapter(Adapter):
    """BERT and its kin."""

    names = ("input_ids", "attention_mask", "token_type_ids", "labels", "next_sentence_label")

    def _read(self) -> tuple[Array, Array | None]:
        """Ids and token types."""
        types = self.like_ids("token_type_ids")
        if types is not None and not self.model.config.token_types:
            raise UserError("this model has no token types: leave token_type_ids out")
        return self.inputs["input_ids"], types

    def logits(self) -> Array | PretrainingLogits:
        """Scores (B, T, V) of the token at every place; with sentence pairs, `PretrainingLogits`."""
        ids, types = self._read()
        scores = self.model.logits(self.params, ids, self.run, self.real, types)
        if not self.model.config.pairs:
            return scores
        return PretrainingLogits(scores, self.model.pair_logits(self.params, ids, self.run, self.real, types))

    def hidden_states(self, layer: int) -> Array:
        ids, types = self._read()
        return self.model.body_forward(self.params, ids, self.run, types, self.real, layers=layer)[0]

    def batch(self) -> BertBatch:
        """The labelled places of every row, and the labels of the pairs; BERT cannot learn from its input alone."""
        ids, types = self._read()
        labels, pairs = self.like_ids("labels"), self.inputs.get("next_sentence_label")
        if labels is None:
            raise UserError("BERT's loss needs labels: the ids of the hidden tokens, −100 everywhere else")
        if pairs is not None and pairs.shape not in ((len(ids),), (len(ids), 1)):
            raise UserError(f"next_sentence_label has shape {pairs.shape}; it must be ({len(ids)},), one for each row")
        xp = array_module(ids)
        chosen = labels != IGNORE
        most = max(1, int(chosen.sum(axis=1).max()))
        places = xp.argsort(~chosen, axis=1, kind="stable")[:, :most]  # the labelled ones first
        targets = xp.take_along_axis(labels, places, axis=1).astype(np.int64)
        types = xp.zeros_like(ids) if types is None else types
        return BertBatch(ids, types, places, targets, None if pairs is None else pairs.reshape(-1), self.real)

    def generate_ids(self, g: Generation, seed: int) -> np.ndarray:
        """There is no such thing: BERT sees both sides of what it predicts."""
        raise UserError("BERT does not continue a text; it fills in [MASK] (minigpt sample --prompt, or logits)")
