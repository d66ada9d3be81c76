"""The KV cache: keys and values of every token so far, so that a new token costs one column and not the whole text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigpt.blocks import BlockConfig
from minigpt.core.backend import Array, array_module


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
