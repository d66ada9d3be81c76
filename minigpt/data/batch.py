"""A batch of training rows: what goes in, what should come out, and how it is cut into shards."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.backend import Array
from minigpt.ops import count_targets


def take_rows(batch: Any, start: int, stop: int) -> Any:
    """The rows start … stop − 1 of every array of a batch; what is None stays so."""
    return batch._make(None if x is None else x[start:stop] for x in batch)


def split_rows(batch: Any, shards: int) -> list[tuple[int, Any]]:
    """Cut a batch into `shards` parts whose rows differ by at most one, each with its first row's number.

    With fewer rows than shards, the parts that would be empty are left out.
    """
    edges = [batch.row_count * i // shards for i in range(shards + 1)]
    return [(a, batch.rows(a, b)) for a, b in itertools.pairwise(edges) if b > a]


counted_rows = property(lambda batch: len(batch.inputs), doc="How many rows a batch has: what shards divide.")
counted_tokens = property(lambda batch: batch.inputs.size, doc="How many tokens go through the model, padding too.")


def pad_rows(rows: Sequence[np.ndarray], fill: int, width: int = 0) -> np.ndarray:
    """Rows of different lengths as one array, filled up on the right to the longest, or to `width`."""
    padded = np.full((len(rows), width or max(map(len, rows))), fill, dtype=np.int64)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded


class Batch(NamedTuple):
    """B rows of T tokens.

    Attributes:
        inputs: (B, T) token ids.
        targets: (B, T) the id that should follow each input, or `ops.IGNORE`.
        key_padding: (B, T) True at real tokens, or None when every token is real.
    """

    inputs: Array
    targets: Array
    key_padding: Array | None = None

    def counts(self) -> dict[str, int]:
        """How many items each term of the loss averages over."""
        return {"tokens": count_targets(self.targets)}

    rows, split = take_rows, split_rows
    row_count, token_count = counted_rows, counted_tokens
