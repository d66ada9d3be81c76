"""Shard threads: N Python threads, each taking a shard of the batch, with private gradients and shared parameters.

NumPy lets go of the interpreter's lock in matrix products and in large element-wise operations, so threads run
truly side by side; a thread per core with one BLAS thread each beats one thread with all BLAS threads, because the
element-wise work is shared too. Gradients are summed in the order of the shards, whichever finished first, so a run
gives the same bits every time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from minigpt import ops, workspace
from minigpt.backend import Array, array_module
from minigpt.fast import team
from minigpt.measures import Measures, add_measures
from minigpt.mixed import Lowered, low_dtype
from minigpt.params import Gradients, Parameters
from minigpt.run import Run


def available_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_device(batch: Any, to_device: Callable[[Array], Array]) -> Any:
    """Bring the arrays of a batch to where the model computes."""
    return batch._make(None if x is None else to_device(x) for x in batch)


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
        self._executor: ThreadPoolExecutor | None = None
        self._blas = ThreadpoolController()
        self._limits: Any = None

    def __enter__(self) -> ShardPool:
        if self.workers > 1:
            self._executor = ThreadPoolExecutor(self.workers, thread_name_prefix="shard")
            self._limits = self._blas.limit(limits=1, user_api="blas")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._limits.restore_original_limits()
            workspace.release()

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
        edges = [size * i // self.workers for i in range(self.workers + 1)]
        return self.map(function, edges[:-1], edges[1:])

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
            batches: of any kind that `minigpt.objectives` describes.
            measures: what the model measures is added into it.
            scale: the gradient (not the returned loss) is multiplied by it.
        """
        counts = sum((Counter(batch.counts()) for batch in batches), Counter())
        denominators = {term: max(counts[term], 1) for term in batches[0].counts()}
        shards = min(self.workers, min(batch.row_count for batch in batches))
        while len(self._gradients) < shards:
            self._gradients.append(Gradients(params.specs, array_module(params.flat).empty_like(params.flat)))
        for gradient in self._gradients:
            gradient.clear()

        weights = self.prepared(params)

        def work(shard: tuple[int, Any], grads: Parameters) -> tuple[float, Measures]:
            row, part = shard
            part = on_device(part, to_device)
            draws = {"seed": seed, "step": step, "row": row, "denominators": denominators}
            run = Run(train=True, **draws, recompute=self.recompute, ops=self.operations)
            loss, cache = model.forward(weights, part, run)
            model.backward(weights, grads, cache, run, scale)
            return loss, {} if measures is None else model.measures(cache)

        loss, first_row = 0.0, 0
        for batch in batches:
            parts = [(first_row + row, part) for row, part in batch.split(shards)]
            if shards == 1 and self._executor is not None:  # too few rows to cut: share out heads and row blocks
                with team.formed(self._executor, self.workers):
                    results = [work(parts[0], self._gradients[0])]
            else:
                results = self.map(work, parts, self._gradients)
            loss += sum(part_loss for part_loss, _ in results)
            for _, part_measures in results:
                add_measures({} if measures is None else measures, part_measures)
            first_row += batch.row_count
        for gradient in self._gradients[:shards]:
            gradient.complete()
        total, *others = self._gradients[:shards]

        def add_up(start: int, stop: int) -> None:
            for gradient in others:
                total.flat[start:stop] += gradient.flat[start:stop]

        if others:
            self.each_slice(total.flat.size, add_up)
        return loss, total
