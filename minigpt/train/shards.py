"""Shards: N workers, each taking a part of the batch's rows, with private gradients and shared parameters.

A worker per core with one BLAS thread each beats one thread with all BLAS threads, because the element-wise work is
shared too. Workers are threads: NumPy lets go of the interpreter's lock in matrix products and in large element-wise
operations, so they run side by side. A training run makes them processes where it can (see `minigpt.train.crew`), which
never wait for that lock. Gradients are summed in the order of the shards, whichever finished first, so a run gives the
same bits every time, and the same with either.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from minigpt import ops
from minigpt.blocks.mixed import Lowered, low_dtype
from minigpt.blocks.run import Run
from minigpt.core import workspace
from minigpt.core.backend import Array, array_module
from minigpt.core.measures import Measures, add_measures
from minigpt.core.params import Gradients, Parameters
from minigpt.fast import team
from minigpt.train.crew import Crew, add_gradients, slices
from minigpt.train.forks import can_fork
from minigpt.train.optimizer import AdamW, global_norm


def on_device(batch: Any, to_device: Callable[[Array], Array]) -> Any:
    """Bring the arrays of a batch to where the model computes."""
    return batch._make(None if x is None else to_device(x) for x in batch)


class Shard(NamedTuple):
    """One worker's part of a batch."""

    row: int  # the number of its first row in the step
    rows: Any
    first: bool  # the step begins with it: gradients count as zero before
    last: bool


class ShardPool:
    """Runs one function on every shard, in threads, with BLAS limited to one thread each.

    Used as a context manager; with a single worker it runs in the calling thread and leaves BLAS alone.
    """

    def __init__(self, workers: int, operations: Any = ops, *, compute: str | None = None, recompute: bool = False):
        """Make a pool.

        Args:
            compute: the dtype of 16 bits that passes are made in, with `Mixed` operations, or None.
            recompute: whether blocks keep only their input (see `minigpt.blocks.recompute`).
        """
        self.workers, self.recompute = workers, recompute
        self.operations = operations
        self._low = None if compute is None else low_dtype(compute)
        self._gradients: list[Gradients] = []
        self._crew: Crew | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._blas = ThreadpoolController()
        self._limits: Any = None

    def __enter__(self) -> ShardPool:
        if self.workers > 1:
            self._executor = ThreadPoolExecutor(self.workers, thread_name_prefix="shard")
            self._limits = self._blas.limit(limits=1, user_api="blas")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._crew is not None:
            self._crew.close()
            self._crew = None
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._limits.restore_original_limits()
            workspace.release()

    def fork(self, model: Any, params: Parameters, optimizer: AdamW) -> None:
        """From now on, train this model in processes where the system can fork, with the same results to the bit.

        Parameters and moments move to shared memory (see `Crew`). To be called once, in the context, before anything
        else.
        """
        in_memory = isinstance(params.flat, np.ndarray) and self._low is None
        if self.workers > 1 and in_memory and can_fork():
            self._crew = Crew(self.workers, model, params, optimizer, self._pass)

    def map(self, function: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
        """Apply `function` to the arguments of each shard; results come in the order of the shards.

        Overflow warnings are off: whether a loss is finite is checked once, where it is summed up.
        """

        def quiet(*shard: Any) -> Any:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                return function(*shard)

        return list((map if self._executor is None else self._executor.map)(quiet, *arguments))

    def each_slice(self, size: int, function: Callable[[int, int], Any]) -> list[Any]:
        """Apply `function(start, stop)` to equal parts of a range, one for each worker."""
        return self.map(function, *zip(*slices(size, self.workers), strict=True))

    def prepared(self, params: Parameters) -> Parameters:
        """The parameters as passes take them: as they are, or with 16-bit copies of the matrices."""
        return params if self._low is None else Lowered(params, self._low)

    def loss_and_grads(
        self,
        model: Any,
        params: Parameters,
        batches: Sequence[Any],
        *,
        seed: int,
        step: int,
        to_device: Callable[[Array], Array] = lambda x: x,
        measures: Measures | None = None,
        scale: float = 1.0,
    ) -> tuple[float, Parameters]:
        """Loss and gradient of one step: the mean over all targets of all `batches` (gradient accumulation).

        Every batch is cut into one shard per worker. Rows are numbered through all batches, so dropout does not
        depend on how they are cut. The returned gradients belong to the pool and are overwritten by the next call.

        Args:
            batches: of any kind that `minigpt.train.objectives` describes.
            to_device: brings arrays to where the model computes; not asked in processes, which compute on NumPy's.
            measures: what the model measures is added into it.
            scale: the gradient (not the returned loss) is multiplied by it.
        """
        counts = sum((Counter(batch.counts()) for batch in batches), Counter())
        denominators = {term: max(counts[term], 1) for term in batches[0].counts()}
        shards = min(self.workers, min(batch.row_count for batch in batches))
        forked = self._crew is not None and self._crew.params is params and self._crew.model is model
        crew = self._crew if forked else None
        gradients = crew.gradients if crew else self._private_gradients(params, shards)
        draws = {"seed": seed, "step": step, "denominators": denominators}
        common = draws, measures is not None, scale
        one = partial(self._pass, model, self.prepared(params), to_device=to_device)

        loss, first_row = 0.0, 0
        for number, batch in enumerate(batches):
            ends = number == 0, number == len(batches) - 1
            parts = [Shard(first_row + row, part, *ends) for row, part in batch.split(shards)]
            if shards == 1 and self._executor is not None:  # too few rows to cut: share out heads and row blocks
                with team.formed(self._executor, self.workers):
                    results = [one(gradients[0], parts[0], *common)]
            elif crew:
                results = crew.passes([(part, *common) for part in parts])
            else:
                results = self.map(lambda grads, part: one(grads, part, *common), gradients[:shards], parts)
            loss += sum(part_loss for part_loss, _ in results)
            for _, part_measures in results:
                add_measures({} if measures is None else measures, part_measures)
            first_row += batch.row_count
        if crew and shards > 1:
            crew.add_up(shards)
        else:
            add_gradients(gradients[:shards], self.each_slice)
        return loss, gradients[0]

    def norm(self, grads: Parameters) -> float:
        """The global norm of the gradients that `loss_and_grads` returned."""
        if self._crew is not None and grads is self._crew.gradients[0]:
            return math.sqrt(sum(self._crew.squared_norms()))
        return global_norm(grads, self.each_slice)

    def update(self, optimizer: AdamW, params: Parameters, grads: Parameters, lr: float, *, scale: float = 1.0) -> None:
        """`AdamW.step`, a slice for each worker."""
        if self._crew is not None and grads is self._crew.gradients[0] and optimizer is self._crew.optimizer:
            self._crew.update(lr, scale)
        else:
            optimizer.step(params, grads, lr, scale=scale, each_slice=self.each_slice)

    def _private_gradients(self, params: Parameters, shards: int) -> list[Gradients]:
        while len(self._gradients) < shards:
            self._gradients.append(Gradients(params.specs, array_module(params.flat).empty_like(params.flat)))
        return self._gradients

    def _pass(
        self,
        model: Any,
        weights: Parameters,
        grads: Gradients,
        shard: Shard,
        draws: dict[str, Any],
        measured: bool,
        scale: float,
        *,
        to_device: Callable[[Array], Array] = lambda x: x,
    ) -> tuple[float, Measures]:
        """Forward and backward of one shard: its part of the loss and of the measures; gradients are added to."""
        if shard.first:
            grads.clear()
        rows = on_device(shard.rows, to_device)
        run = Run(train=True, **draws, row=shard.row, recompute=self.recompute, ops=self.operations)
        loss, cache = model.forward(weights, rows, run)
        model.backward(weights, grads, cache, run, scale)
        if shard.last:
            grads.complete()
        return loss, model.measures(cache) if measured else {}
