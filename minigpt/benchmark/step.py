"""Timing a training step: against PyTorch, and against the matrix products that it cannot do without."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from minigpt.backend import get_backend
from minigpt.benchmark.contest import Contestant, Interval, Outcome, contest
from minigpt.benchmark.shapes import SHAPES, Shape
from minigpt.benchmark.torch_gpt import torch_step
from minigpt.config import OptimizerConfig
from minigpt.data.batch import Batch
from minigpt.dispatch import operations
from minigpt.models import GPT
from minigpt.train.optimizer import AdamW
from minigpt.train.shards import ShardPool

OPPONENTS = ("torch", "torch-compile")


def training_step(shape: Shape, workers: int, backend_name: str, implementation: str = "auto") -> Callable[[], object]:
    """One step on one fixed batch: forward, backward and AdamW, float32, no dropout."""
    backend = get_backend(backend_name)
    pool = ShardPool(workers, operations(implementation, backend)).__enter__()  # for the life of this process
    model = GPT(shape.config)
    params = model.init(seed=0, backend=backend)
    optimizer = AdamW(params, OptimizerConfig())
    ids = np.random.default_rng(0).integers(0, shape.vocab_size, (2, shape.batch, shape.context))
    batch = Batch(*ids)
    count = iter(range(sys.maxsize))

    def step() -> None:
        _, grads = pool.loss_and_grads(model, params, [batch], seed=0, step=next(count), to_device=backend.asarray)
        optimizer.step(params, grads, 1e-4, each_slice=pool.each_slice)
        backend.synchronize()

    return step


def linear_products(shape: Shape, workers: int) -> Callable[[], object]:
    """The step's linear layers as nothing but matrix products: y = x W, dx = dy Wᵀ, dW = xᵀ dy.

    They are cut as the step is: a part of the rows for each thread where there are enough rows in the batch, else BLAS
    cuts them itself.
    """
    c = shape.width
    sizes = [(c, 3 * c), (c, c), (c, 4 * c), (4 * c, c)] * shape.layers + [(c, shape.vocab_size)]
    shards = min(workers, shape.batch)
    pool = ShardPool(shards).__enter__()
    if shards == 1:
        threadpool_limits(workers, user_api="blas")
    rows = [shape.context * len(range(i, shape.batch, shards)) for i in range(shards)]
    rng = np.random.default_rng(0)
    weights = {size: rng.standard_normal(size, dtype=np.float32) for size in set(sizes)}

    def buffers(n: int, i: int, o: int) -> list[np.ndarray]:
        shapes = [(n, i), (n, o), (n, o), (n, i), (i, o)]
        return [rng.standard_normal(s, dtype=np.float32) for s in shapes]

    arrays = [{size: buffers(n, *size) for size in set(sizes)} for n in rows]

    def work(part: dict[tuple[int, int], list[np.ndarray]]) -> None:
        for size in sizes:
            w, (x, dy, y, dx, dw) = weights[size], part[size]
            np.matmul(x, w, out=y)
            np.matmul(dy, w.T, out=dx)
            np.matmul(x.T, dy, out=dw)

    return lambda: pool.map(work, arrays)


def bench_step(
    name: str,
    *,
    rounds: int,
    workers: int,
    backend: str = "numpy",
    against: Sequence[str] = (),
    progress: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Time one shape.

    Returns:
        milliseconds with their interval, tokens per second, peak memory of the process in MB, and the ratios of the
        step's time, and of its memory, to each opponent's; `gemm` is the step's own matrix products (NumPy only).
    """
    shape = SHAPES[name]
    contestants = {"minigpt": Contestant(training_step, (shape, workers, backend))}
    if backend == "numpy":
        contestants["gemm"] = Contestant(linear_products, (shape, workers))
    for opponent in against:
        contestants[opponent] = Contestant(torch_step, (shape, workers, opponent == "torch-compile"))
    return summary(contest(contestants, rounds=rounds, progress=progress), shape.tokens)


def summary(outcome: Outcome, tokens: int) -> dict[str, Any]:
    """What `--json` prints of a contest in which "minigpt" met the others."""
    names = list(outcome.peak_megabytes)
    others = [name for name in names if name != "minigpt"]
    time, peaks = outcome.seconds("minigpt"), outcome.peak_megabytes
    memory = {o: peaks["minigpt"] / peaks[o] for o in others if o != "gemm" and peaks[o] and peaks["minigpt"]}
    return {
        "ms": 1e3 * time.median,
        "ms_interval": [1e3 * time.low, 1e3 * time.high],
        "tokens_per_second": tokens / time.median,
        "peak_mb": peaks["minigpt"],
        "others_ms": {o: 1e3 * outcome.seconds(o).median for o in others},
        "ratio": {o: outcome.ratio("minigpt", o).median for o in others},
        "ratio_interval": {o: _ends(outcome.ratio("minigpt", o)) for o in others},
        "memory_ratio": memory,
        "rounds": len(outcome.rounds),
        "dropped": outcome.dropped,
    }


def _ends(x: Interval) -> list[float]:
    return [x.low, x.high]
