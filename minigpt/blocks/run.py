"""What changes from one pass to the next, handed to a model that itself never changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from minigpt import ops
from minigpt.ops import DropoutKey, Operations


@dataclass(frozen=True)
class Run:
    """One pass over one batch, or over one shard of it.

    Attributes:
        train: whether dropout is on.
        seed, step: with the row and the place in the model they name every dropout draw.
        row: the number of this shard's first row in the global batch.
        position: the number of the first position at hand in its row, where an operation sees a part of the positions.
        denominators: what each term of the loss is divided by, over the global batch ("tokens": the number of
            targets). A term that is not named is averaged over the batch at hand.
        recompute: whether blocks keep their input alone (see `minigpt.blocks.recompute`).
        ops: the implementation of the operations, `minigpt.ops` or one with the same names (see dispatch.py).
    """

    train: bool = False
    seed: int = 0
    step: int = 0
    row: int = 0
    position: int = 0
    denominators: Mapping[str, float] = field(default_factory=dict)
    recompute: bool = False
    ops: Operations = ops

    def dropout_key(self, site: int) -> DropoutKey | None:
        """Name the dropout draw at one place of the model; None, which drops nothing, in evaluation."""
        return DropoutKey(self.seed, self.step, site, self.row, self.position) if self.train else None


EVALUATION = Run()
