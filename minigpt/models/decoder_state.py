"""What a decoder keeps while it writes: keys and values of every token so far, and those of the encoder's output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigpt.backend import Array, array_module
from minigpt.run import Run


@dataclass(frozen=True)
class DecoderState:
    """R texts that are being written, each about one row of the source batch.

    Attributes:
        keys, values: for each layer (R, longest, G, D), of which the first `length` columns are filled.
        memory: for each layer the keys and values of cross-attention, (R, S, G, D): the same at every step.
        padding: (R, S) True at real source tokens, or None.
        origins: (R,) the row of the source batch that each text is about.
        length: how many tokens each text has.
        run: with which operations.
    """

    keys: list[Array]
    values: list[Array]
    memory: list[tuple[Array, Array]]
    padding: Array | None
    origins: np.ndarray
    length: int
    run: Run

    def append(self, layer: int, k: Array, v: Array) -> tuple[Array, Array]:
        """Put the keys and values (R, n, G, D) of n new tokens behind the others; return all of them."""
        end = self.length + k.shape[1]
        if end > self.keys[layer].shape[1]:
            raise ValueError(f"the state was made for {self.keys[layer].shape[1]} tokens, not for {end}")
        self.keys[layer][:, self.length : end] = k
        self.values[layer][:, self.length : end] = v
        return self.keys[layer][:, :end], self.values[layer][:, :end]

    def reorder(self, rows: np.ndarray) -> DecoderState:
        """The state whose text i is text rows[i] of this one; a text may be taken several times, or not at all.

        The memory is copied only where the texts change the source row that they are about: not among the beams of
        one row.
        """
        rows = np.asarray(rows)
        at = array_module(self.keys[0]).asarray(rows)
        origins, memory, padding = self.origins[rows], self.memory, self.padding
        if not np.array_equal(origins, self.origins):
            memory = [(k[at], v[at]) for k, v in memory]
            padding = None if padding is None else padding[at]
        keys, values = ([self._taken(x, at) for x in layers] for layers in (self.keys, self.values))
        return DecoderState(keys, values, memory, padding, origins, self.length, self.run)

    def _taken(self, x: Array, rows: Array) -> Array:
        taken = array_module(x).empty((len(rows), *x.shape[1:]), x.dtype)
        taken[:, : self.length] = x[rows, : self.length]
        return taken
