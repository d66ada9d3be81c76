"""Shard threads: N Python threads, each taking a shard of the batch, with private gradients and shared parameters.

NumPy lets go of the interpreter's lock in matrix products and in large element-wise operations, so threads run
truly side by side; a thread per core with one BLAS thread each beats one thread with all BLAS threads, because the
element-wise work is shared too. Gradients are summed in the order of the shards, whichever finished first, so a run
gives the same bits every time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from minigpt.backend import Array
from minigpt.data.batch import Batch
from minigpt.params import Parameters
from minigpt.run import Run


def available_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ShardPool:
    """Runs one function on every shard, in threads, with BLAS limited to one thread each.

    Used as a context manager; with a single worker it runs in the calling thread and leaves BLAS alone.
    """

    def __init__(self, workers: int):
        self.workers = workers
        self._gradients: list[Parameters] = []
        self._executor: ThreadPoolExecutor | None = None
        self._limits: Any = None

    def __enter__(self) -> ShardPool:
        if self.workers > 1:
            self._executor = ThreadPoolExecutor(self.workers, thread_name_prefix="shard")
            self._limits = threadpool_limits(limits=1, user_api="blas")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._limits.restore_original_limits()

    def map(self, function: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
        """Apply `function` to the arguments of each shard; results come in the order of the shards.

        Overflow warnings are off: whether a loss is finite is checked once, where it is summed up.
        """

        def quiet(*shard: Any) -> Any:
            with np.errstate(over="ignore", invalid="ignore"):
                return function(*shard)

        return list((map if self._executor is None else self._executor.map)(quiet, *arguments))

    def loss_and_grads(
        self,
        model: Any,
        params: Parameters,
        batches: Sequence[Batch],
        *,
        seed: int,
        step: int,
        to_device: Callable[[Array], Array] = lambda x: x,
    ) -> tuple[float, Parameters]:
        """Loss and gradient of one step: the mean over all targets of all `batches` (gradient accumulation).

        Every batch is cut into one shard per worker. Rows are numbered through all batches, so dropout does not
        depend on how they are cut. The returned gradients belong to the pool and are overwritten by the next call.
        """
        counts: dict[str, int] = {}
        for batch in batches:
            for term, count in batch.counts().items():
                counts[term] = counts.get(term, 0) + count
        denominators = {term: max(count, 1) for term, count in counts.items()}
        while len(self._gradients) < self.workers:
            self._gradients.append(params.zeros_like())
        for gradient in self._gradients:
            gradient.flat[...] = 0

        def work(shard: tuple[int, Batch], grads: Parameters) -> float:
            row, part = shard
            part = Batch(*(None if x is None else to_device(x) for x in part))
            run = Run(train=True, seed=seed, step=step, row=row, denominators=denominators)
            loss, cache = model.forward(params, part, run)
            model.backward(params, grads, cache, run)
            return loss

        loss, first_row = 0.0, 0
        for batch in batches:
            shards = [(first_row + row, part) for row, part in batch.split(self.workers)]
            loss += sum(self.map(work, shards, self._gradients[: len(shards)]))
            first_row += len(batch.inputs)
        total = self._gradients[0]
        for gradient in self._gradients[1:]:
            total.flat += gradient.flat
        return loss, total
