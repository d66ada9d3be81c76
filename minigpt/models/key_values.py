"""What a model keeps while it writes: the KV cache, and where each row's text begins or which source it is about.

With the keys and values of every token so far, a new token costs one column and not the whole text.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from minigpt.blocks import BlockConfig
from minigpt.blocks.run import Run
from minigpt.core.backend import Array, array_module, backend_of
from minigpt.core.params import Parameters
from minigpt.data.batch import Batch
from minigpt.ops import Mask


@dataclass(frozen=True)
class KeyValues:
    """The keys and values of R texts, in buffers that were made once.

    Attributes:
        keys, values: for each layer (R, longest, G, D), of which the first `length` columns are filled.
        length: how many columns each text has.
    """

    keys: list[Array]
    values: list[Array]
    length: int = 0

    def append(self, layer: int, k: Array, v: Array) -> tuple[Array, Array]:
        """Put the keys and values (R, n, G, D) of n new tokens behind the others; return all of them."""
        end = self.length + k.shape[1]
        if end > self.keys[layer].shape[1]:
            raise ValueError(f"the state was made for {self.keys[layer].shape[1]} tokens, not for {end}")
        self.keys[layer][:, self.length : end] = k
        self.values[layer][:, self.length : end] = v
        return self.keys[layer][:, :end], self.values[layer][:, :end]

    def advanced(self, tokens: int) -> KeyValues:
        """After every layer got the keys and values of so many new tokens."""
        return KeyValues(self.keys, self.values, self.length + tokens)

    def reorder(self, rows: Array) -> KeyValues:
        """The cache whose text i is text rows[i] of this one."""
        keys, values = ([self._taken(x, rows) for x in layers] for layers in (self.keys, self.values))
        return KeyValues(keys, values, self.length)

    def _taken(self, x: Array, rows: Array) -> Array:
        taken = array_module(x).empty((len(rows), *x.shape[1:]), x.dtype)
        taken[:, : self.length] = x[rows, : self.length]
        return taken


def empty_key_values(like: Array, c: BlockConfig, layers: int, rows: int, longest: int) -> KeyValues:
    """An empty cache of `like`'s kind and dtype."""
    shape = (rows, longest, c.kv_heads, c.head_width)
    keys, values = ([array_module(like).empty(shape, like.dtype) for _ in range(layers)] for _ in range(2))
    return KeyValues(keys, values)


def row_index(like: Array, rows: np.ndarray) -> Array:
    """Row numbers as an index array where `like` lives."""
    return array_module(like).asarray(np.asarray(rows))


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
