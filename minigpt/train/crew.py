"""Shards in processes: every member of a crew has its part of each batch, and its slice of sums, norms and updates.

Threads share one interpreter, and its lock. A NumPy call gives the lock back and has to take it again, hundreds of
times a step, and in a small model the calls are so short that threads often wait for each other (`minigpt bench step
--shape S --against threads`). Processes do not: parameters, gradients and the optimizer's moments lie in memory that
all of them see, the rows of a batch are sent, and a loss comes back. The same sums are made in the same order, so every
bit is the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigpt.core.params import Gradients, Parameters
from minigpt.train.forks import Forks, shared_copy, shared_zeros
from minigpt.train.optimizer import AdamW, EachSlice, squared_norms


class Crew:
    """This process, which is member 0, and its forks.

    Attributes:
        model, params, optimizer: what was given; the latter two are now in shared memory.
        gradients: one for each member; the first also holds the sum.
    """

    def __init__(self, workers: int, model: Any, params: Parameters, optimizer: AdamW, shard_pass: Callable[..., Any]):
        """Move parameters and moments to shared memory, and fork.

        Args:
            shard_pass: called in each member with model, parameters, its gradients, and what `passes` is given.
        """
        self.workers, self._shard_pass = workers, shard_pass
        self.model, self.params, self.optimizer = model, params, optimizer
        params.move(shared_copy(params.flat))
        optimizer.m, optimizer.v = shared_copy(optimizer.m), shared_copy(optimizer.v)
        self.gradients = [Gradients(params.specs, shared_zeros(params.flat)) for _ in range(workers)]
        self._forks = Forks(workers - 1, lambda number, message: self._do(number, *message))

    def close(self) -> None:
        self._forks.close()

    def passes(self, shards: Sequence[tuple[Any, ...]]) -> list[Any]:
        """`shard_pass` of every shard, each in its member."""
        return self._together("_pass", shards)

    def add_up(self, shards: int) -> None:
        """Add the gradients of the members that had one to the first's."""
        self._together("_add", [(shards,)] * self.workers)

    def squared_norms(self) -> list[float]:
        """See `optimizer.squared_norms`."""
        return self._together("_square", [()] * self.workers)

    def update(self, lr: float, scale: float) -> None:
        """See `AdamW.step`."""
        self._together("_update", [(self.optimizer.updates, lr, scale)] * self.workers)

    def _together(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        mine, *others = arguments
        return self._forks.together([(name, theirs) for theirs in others], lambda: self._do(0, name, mine))

    def _do(self, number: int, name: str, arguments: tuple[Any, ...]) -> Any:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # as in `ShardPool.map`
            return getattr(self, name)(number, *arguments)

    def _pass(self, number: int, *shard: Any) -> Any:
        return self._shard_pass(self.model, self.params, self.gradients[number], *shard)

    def _add(self, number: int, shards: int) -> None:
        add_gradients(self.gradients[:shards], self._slice_of(number))

    def _square(self, number: int) -> float:
        return squared_norms(self.gradients[0], self._slice_of(number))[0]

    def _update(self, number: int, updates: int, lr: float, scale: float) -> None:
        self.optimizer.updates = updates
        self.optimizer.step(self.params, self.gradients[0], lr, scale=scale, each_slice=self._slice_of(number))

    def _slice_of(self, number: int) -> EachSlice:
        """A member's part of what `ShardPool.each_slice` cuts for all."""

        def one(size: int, function: Callable[[int, int], Any]) -> list[Any]:
            return [function(*slices(size, self.workers)[number])]

        return one


def slices(size: int, parts: int) -> list[tuple[int, int]]:
    """0 … size in equal parts."""
    edges = [size * i // parts for i in range(parts + 1)]
    return list(itertools.pairwise(edges))


def add_gradients(gradients: Sequence[Gradients], each_slice: EachSlice) -> None:
    """Add the others to the first, always in the same order."""
    total, *others = gradients

    def add_up(start: int, stop: int) -> None:
        for gradient in others:
            total.flat[start:stop] += gradient.flat[start:stop]

    if others:
        each_slice(total.flat.size, add_up)
