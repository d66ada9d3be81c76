"""What an encoder–decoder keeps while it writes: its own keys and values, and those of the encoder's output."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from minigpt.blocks.run import Run
from minigpt.core.backend import Array
from minigpt.models.key_values import KeyValues, row_index


@dataclass(frozen=True)
class DecoderState:
    """R texts that are being written, each about one row of the source batch.

    Attributes:
        own: keys and values of the tokens written so far.
        memory: for each layer the keys and values of cross-attention, (R, S, G, D): the same at every step.
        padding: (R, S) True at real source tokens, or None.
        origins: (R,) the row of the source batch that each text is about.
        run: with which operations.
    """

    own: KeyValues
    memory: list[tuple[Array, Array]]
    padding: Array | None
    origins: np.ndarray
    run: Run

    @property
    def length(self) -> int:
        """How many tokens each text has."""
        return self.own.length

    def reorder(self, rows: np.ndarray) -> DecoderState:
        """The state whose text i is text rows[i] of this one; a text may be taken several times, or not at all.

        The memory is copied only where the texts change the source row that they are about: not among the beams of
        one row.
        """
        rows = np.asarray(rows)
        at = row_index(self.own.keys[0], rows)
        origins, memory, padding = self.origins[rows], self.memory, self.padding
        if not np.array_equal(origins, self.origins):
            memory = [(k[at], v[at]) for k, v in memory]
            padding = None if padding is None else padding[at]
        return dataclasses.replace(self, own=self.own.reorder(at), memory=memory, padding=padding, origins=origins)
