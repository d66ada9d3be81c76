"""Batches for encoder–decoders: a source that the encoder reads, and a target that the decoder learns to write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minigpt.core.backend import Array, array_module
from minigpt.data.batch import AnyBatch, pad_rows
from minigpt.ops import IGNORE, count_targets


class _Seq2SeqBatch(NamedTuple):
    source: Array
    inputs: Array
    targets: Array | None = None
    source_padding: Array | None = None
    labels: Array | None = None
    spans: Array | None = None


class Seq2SeqBatch(_Seq2SeqBatch, AnyBatch):
    """B rows of S source tokens and T target tokens.

    Attributes:
        source: (B, S) token ids that the encoder reads.
        inputs: (B, T) what the decoder reads: its start token and the target without the last token.
        targets: (B, T) the id that should follow each input, or `ops.IGNORE`.
        source_padding: (B, S) True at real tokens, or None when every source token is real.
        labels: (B,) the class of each row, for sequence classification.
        spans: (B, 2) first and last token of each row's answer, for question answering.
    """

    __slots__ = ()

    def counts(self) -> dict[str, int]:
        """How many items each term of the loss averages over."""
        terms = {"tokens": self.targets, "examples": self.labels, "spans": self.spans}
        return {name: count_targets(x) for name, x in terms.items() if x is not None}

    @property
    def token_count(self) -> int:
        """How many tokens go through the model, padding included."""
        return self.source.size + self.inputs.size


def given(x: Array | None, name: str) -> Array:
    """A part of a batch that the loss needs.

    Raises:
        ValueError: the batch was made without it.
    """
    if x is None:
        raise ValueError(f"the batch has no {name} to learn from")
    return x


def shift_tokens_right(labels: Array, *, pad: int, start: int) -> Array:
    """What the decoder reads so that it can say `labels` (B, T): `start`, then the labels without their last column.

    An ignored label has nothing to read: `pad` takes its place.
    """
    xp = array_module(labels)
    inputs = xp.full_like(labels, start)
    inputs[:, 1:] = xp.where(labels[:, :-1] == IGNORE, pad, labels[:, :-1])
    return inputs


def seq2seq_batch(
    sources: Sequence[np.ndarray], targets: Sequence[np.ndarray], *, pad: int, start: int
) -> Seq2SeqBatch:
    """Rows of different lengths as one batch, filled up on the right."""
    lengths = np.array([len(source) for source in sources])
    labels = pad_rows(targets, IGNORE)
    return Seq2SeqBatch(
        pad_rows(sources, pad),
        shift_tokens_right(labels, pad=pad, start=start),
        labels,
        np.arange(lengths.max()) < lengths[:, None] if lengths.min() < lengths.max() else None,
    )
