"""What a decoder-only model keeps while it writes: keys and values, and where each row's text begins."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from minigpt.blocks import BlockConfig
from minigpt.blocks.run import Run
from minigpt.core.backend import Array, array_module, backend_of
from minigpt.core.params import Parameters
from minigpt.data.batch import Batch
from minigpt.models.key_values import KeyValues, empty_key_values, row_index
from minigpt.ops import Mask


@dataclass(frozen=True)
class CausalState:
    """R texts that are being written, padded on the left to one length.

    Attributes:
        own: keys and values of all columns so far.
        real: (R, longest) False at padding, or None where no row has any.
        positions: (R, longest) the position of each column in its own text, or None: then that is its number.
        run: with which operations.
    """

    own: KeyValues
    real: Array | None
    positions: Array | None
    run: Run

    def next_positions(self, tokens: int) -> int | Array:
        """Positions of the next columns: the first one's, or (R, tokens) of all."""
        start = self.own.length
        return start if self.positions is None else self.positions[:, start : start + tokens]

    def masked(self, mask: Mask, tokens: int) -> Mask:
        """A layer's mask with the padding of all columns up to the next `tokens`."""
        return mask if self.real is None else mask._replace(key_padding=self.real[:, : self.own.length + tokens])

    def advanced(self, tokens: int) -> CausalState:
        return dataclasses.replace(self, own=self.own.advanced(tokens))

    def reorder(self, rows: np.ndarray) -> CausalState:
        """The state whose text i is text rows[i] of this one; a text may be taken several times, or not at all."""
        at = row_index(self.own.keys[0], rows)
        real, positions = (None if x is None else x[at] for x in (self.real, self.positions))
        return CausalState(self.own.reorder(at), real, positions, self.run)


def start_causal(
    block: BlockConfig, layers: int, params: Parameters, batch: Batch, max_len: int, run: Run
) -> CausalState:
    """The state before anything is read, for `batch`'s rows and padding and up to `max_len` columns.

    Raises:
        ValueError: a row is padded elsewhere than on the left.
    """
    own = empty_key_values(params.flat, block, layers, len(batch.inputs), max_len)
    real = positions = None
    if batch.key_padding is not None:
        padding = backend_of(params.flat).to_host(batch.key_padding).astype(bool)
        if (np.diff(padding.astype(np.int8), axis=1) < 0).any():
            raise ValueError("rows to be continued are padded on the left")
        whole = np.ones((len(padding), max_len), dtype=bool)
        whole[:, : padding.shape[1]] = padding
        xp = array_module(params.flat)
        real, positions = xp.asarray(whole), xp.asarray(np.maximum(np.cumsum(whole, axis=1) - 1, 0))
    return CausalState(own, real, positions, run)
