"""A batch of training rows: what goes in, what should come out, and how it is cut into shards."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from minigpt.backend import Array
from minigpt.ops import count_targets


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

    def rows(self, start: int, stop: int) -> Batch:
        padding = None if self.key_padding is None else self.key_padding[start:stop]
        return Batch(self.inputs[start:stop], self.targets[start:stop], padding)

    def split(self, shards: int) -> list[tuple[int, Batch]]:
        return split_rows(self, shards)

    @property
    def row_count(self) -> int:
        return len(self.inputs)

    @property
    def token_count(self) -> int:
        """How many tokens go through the model."""
        return self.inputs.size


def split_rows(batch: Any, shards: int) -> list[tuple[int, Any]]:
    """Cut a batch into `shards` parts whose rows differ by at most one, each with its first row's number.

    With fewer rows than shards, the parts that would be empty are left out.
    """
    edges = [batch.row_count * i // shards for i in range(shards + 1)]
    return [(a, batch.rows(a, b)) for a, b in itertools.pairwise(edges) if b > a]
