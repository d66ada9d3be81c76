"""Activation recomputation (Chen et al. 2016): keep a block's input instead of everything in it.

A block's cache is many times its input. With `run.recompute` the forward pass throws the cache away, and the backward
pass makes it again, block by block, from the input: memory for one block's cache and L inputs, time for one more
forward pass. Dropout draws are named and not remembered, so they are the same the second time, and so is every bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from minigpt.backend import Array


class Recomputed(NamedTuple):
    """What a thrown-away cache is made from again."""

    forward: Callable[..., tuple[Array, Any]]
    arguments: tuple[Any, ...]

    def cache(self) -> Any:
        return self.forward(*self.arguments)[1]


def without_cache(forward: Callable[..., tuple[Array, Any]], *arguments: Any) -> tuple[Array, Recomputed]:
    """Call `forward(*arguments)` and keep only how to do it again."""
    y, _ = forward(*arguments)
    return y, Recomputed(forward, arguments)


def cache_again(cache: Any) -> Any:
    """The cache itself, made again if it was thrown away."""
    return cache.cache() if isinstance(cache, Recomputed) else cache
