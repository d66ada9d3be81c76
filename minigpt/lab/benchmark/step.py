"""Timing a training step: against PyTorch, and against the matrix products that it cannot do without."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from minigpt.blocks import recompute
from minigpt.blocks.dispatch import operations
from minigpt.core.backend import get_backend
from minigpt.data.batch import Batch
from minigpt.fast import attention
from minigpt.lab.benchmark.contest import Contestant, Interval, Outcome, contest
from minigpt.lab.benchmark.shapes import SHAPES, Shape
from minigpt.lab.benchmark.torch_gpt import torch_step
from minigpt.models import GPT
from minigpt.train.passes import Passes
from minigpt.train.settings import RunConfig, TrainConfig
from minigpt.train.state import new_optimizer
from minigpt.train.threads import ThreadPool
from minigpt.train.workers import Trained, make_workers


def training_step(shape: Shape, workers: int, backend_name: str, variant: str = "") -> Callable[[], object]:
    """One step on one fixed batch: forward, backward and AdamW, float32, no dropout.

    It is made for a process of its own: workers and variant ("numpy", "threads", "recompute" or "kept", see OPPONENTS)
    last as long as that.
    """
    backend = get_backend(backend_name)
    if variant == "kept":
        attention.LONG = recompute.LONG = shape.context + 1
    model = GPT(shape.config)
    params = model.init(seed=0, backend=backend)
    train = TrainConfig(operations="fast" if variant == "numpy" else "auto")
    passes = Passes(operations(train.operations, backend), recompute=variant == "recompute", backend=backend)
    trained = Trained(model, params, new_optimizer(RunConfig(train=train), params), passes)
    made = make_workers(trained, ThreadPool(workers).__enter__(), processes=variant != "threads")
    ids = np.random.default_rng(0).integers(0, shape.vocab_size, (2, shape.batch, shape.context))
    batch = Batch(*ids)
    count = iter(range(sys.maxsize))

    def step() -> None:
        made.loss_and_grads([batch], seed=0, step=next(count))
        made.update(1e-4)
        backend.synchronize()

    return step


def linear_products(shape: Shape, workers: int) -> Callable[[], object]:
    """The step's linear layers as nothing but matrix products: y = x W, dx = dy Wᵀ, dW = xᵀ dy.

    Every layer has its own weights, gradients and activations, as in the step, so that as much memory is read. The
    products are cut as the step's: a part of the rows for each thread where there are enough rows in the batch, else
    BLAS cuts them itself.
    """
    c = shape.width
    sizes = [(c, 3 * c), (c, c), (c, 4 * c), (4 * c, c)] * shape.layers + [(c, shape.vocab_size)]
    shards = min(workers, shape.batch)
    threads = ThreadPool(shards).__enter__()
    if shards == 1:
        threadpool_limits(workers, user_api="blas")
    rows = [shape.context * len(range(i, shape.batch, shards)) for i in range(shards)]

    def filled(*size: int) -> np.ndarray:
        return np.full(size, 0.01, np.float32)

    weights = [filled(*size) for size in sizes]
    arrays = [[(filled(n, i), filled(n, o), filled(n, o), filled(n, i), filled(i, o)) for i, o in sizes] for n in rows]

    def work(part: list[tuple[np.ndarray, ...]]) -> None:
        for w, (x, _, y, _, _) in zip(weights, part, strict=True):
            np.matmul(x, w, out=y)
        for w, (x, dy, _, dx, dw) in zip(reversed(weights), reversed(part), strict=True):
            np.matmul(dy, w.T, out=dx)
            np.matmul(x.T, dy, out=dw)

    return lambda: threads.map(work, arrays)


def bench_step(
    name: str,
    *,
    rounds: int,
    workers: int,
    backend: str = "numpy",
    against: Sequence[str] = (),
    clock: str = "wall",
    progress: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Time one shape.

    Returns:
        milliseconds with their interval, tokens per second, peak memory of the process and its forks in MB, and the
        ratios of the step's time, and of its memory, to each opponent's; `gemm` is the step's own matrix products
        (NumPy only).
    """
    shape = SHAPES[name]
    contestants = {"minigpt": Contestant(training_step, (shape, workers, backend))}
    if backend == "numpy":
        contestants["gemm"] = Contestant(linear_products, (shape, workers))
    for opponent in against:
        if opponent.startswith("torch"):
            contestants[opponent] = Contestant(torch_step, (shape, workers, opponent == "torch-compile"))
        else:
            contestants[opponent] = Contestant(training_step, (shape, workers, backend, opponent))
    return summary(contest(contestants, rounds=rounds, clock=clock, progress=progress), shape.tokens)


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
