"""Timing a training step on ranks."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minigpt.blocks.dispatch import operations
from minigpt.core.backend import get_backend
from minigpt.data.batch import Batch
from minigpt.distributed.ranks import MPIRanks
from minigpt.lab.benchmark.shapes import Shape
from minigpt.models import GPT
from minigpt.train.passes import Passes
from minigpt.train.ranked import Ranked, RankPool
from minigpt.train.settings import RunConfig
from minigpt.train.state import new_optimizer
from minigpt.train.workers import Trained

_WARM = 2  # steps that are not timed


class Stopwatch:
    """What sending and waiting take on a rank, in seconds and in processor time."""

    def __init__(self, ranks: MPIRanks):
        self.seconds = self.cpu_seconds = 0.0
        for name in ("exchange", "wait"):
            setattr(ranks, name, partial(self._timed, getattr(ranks, name)))

    def _timed(self, call: Callable[..., Any], *arguments: Any) -> Any:
        started, used = time.monotonic(), time.process_time()
        try:
            return call(*arguments)
        finally:
            self.seconds += time.monotonic() - started
            self.cpu_seconds += time.process_time() - used


def bench_ranks(shape: Shape, ranks: MPIRanks, *, rounds: int) -> dict[str, Any]:
    """Time steps on one fixed batch, with a shard for each rank.

    Returns:
        milliseconds with their quartiles and the fastest step; the part of the time that sending and waiting for others
        took on the rank where it was largest, and of its processor time; processor time of a step on all ranks; the
         bytes of arrays on the rank that holds most, and by ZeRO's formula:
        8 + 8/N for each float32 parameter.
    """
    model = GPT(shape.config)
    params = model.init(seed=0)
    trained = Trained(
        model, params, new_optimizer(RunConfig(), params), Passes(operations("auto", get_backend("numpy")))
    )
    ids = np.random.default_rng(0).integers(0, shape.vocab_size, (2, shape.batch, shape.context))
    with RankPool(ranks):
        watch = Stopwatch(ranks)
        made, times, exchange, cpu = Ranked(trained, ranks, ranks.size), [], 0.0, [0.0, 0.0]
        for step in range(_WARM + rounds):
            before, started = (watch.seconds, watch.cpu_seconds, time.process_time()), time.perf_counter()
            made.loss_and_grads([Batch(*ids)], seed=0, step=step)
            made.norm()
            made.update(1e-4)
            if step >= _WARM:
                times.append(time.perf_counter() - started)
                exchange += watch.seconds - before[0]
                cpu[0] += watch.cpu_seconds - before[1]
                cpu[1] += time.process_time() - before[2]
    low, middle, high = (1e3 * float(q) for q in np.quantile(times, (0.25, 0.5, 0.75)))
    assert trained.optimizer is not None  # it was made above
    arrays = [params.flat, trained.optimizer.m, trained.optimizer.v, *(grads.flat for grads in trained.gradients)]
    return {
        "ms": middle,
        "ms_quartiles": [low, high],
        "ms_fastest": 1e3 * min(times),
        "exchange": max(ranks.all(exchange / sum(times), "a benchmark")),
        "exchange_cpu": max(ranks.all(cpu[0] / cpu[1], "a benchmark")),
        "cpu_ms": 1e3 * sum(ranks.all(cpu[1], "a benchmark")) / rounds,
        "bytes": max(ranks.all(sum(x.nbytes for x in arrays), "a benchmark")),
        "zero_bytes": (8 + 8 / ranks.size) * params.flat.size,
    }
