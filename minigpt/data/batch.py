"""A batch of training rows: what goes in, what should come out, and how it is cut into shards."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from minigpt.core.backend import Array
from minigpt.ops import count_targets


class AnyBatch:
    """What a batch is, whatever it holds: a NamedTuple of arrays (or None), whose first axis are rows.

    Rows are what shards divide, and what dropout is keyed by.
    """

    __slots__ = ()

    @property
    def inputs(self) -> Array:
        """What the model reads."""
        raise NotImplementedError

    def counts(self) -> dict[str, int]:
        """The number of items for every term of the loss; one of them is "tokens", those predicted."""
        raise NotImplementedError

    def rows(self, start: int, stop: int) -> Self:
        """The rows start … stop − 1 of every array; what is None stays so."""
        arrays: Any = self  # a NamedTuple, which no type describes
        taken: Self = arrays._make(None if x is None else x[start:stop] for x in arrays)
        return taken

    def split(self, shards: int) -> list[tuple[int, Self]]:
        """Cut into `shards` parts whose rows differ by at most one, each with its first row's number.

        With fewer rows than shards, the parts that would be empty are left out.
        """
        edges = [self.row_count * i // shards for i in range(shards + 1)]
        return [(a, self.rows(a, b)) for a, b in itertools.pairwise(edges) if b > a]

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return len(self.inputs)

    @property
    def token_count(self) -> int:
        """How many tokens go through the model, padding included (for tokens per second)."""
        return self.inputs.size


def pad_rows(rows: Sequence[np.ndarray], fill: int, width: int = 0) -> np.ndarray:
    """Rows of different lengths as one array, filled up on the right to the longest, or to `width`."""
    padded = np.full((len(rows), width or max(map(len, rows))), fill, dtype=np.int64)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded


class _Batch(NamedTuple):
    inputs: Array
    targets: Array
    key_padding: Array | None = None


class Batch(_Batch, AnyBatch):
    """B rows of T tokens.

    Attributes:
        inputs: (B, T) token ids.
        targets: (B, T) the id that should follow each input, or `ops.IGNORE`.
        key_padding: (B, T) True at real tokens, or None when every token is real.
    """

    __slots__ = ()

    def counts(self) -> dict[str, int]:
        """How many items each term of the loss averages over."""
        return {"tokens": count_targets(self.targets)}
