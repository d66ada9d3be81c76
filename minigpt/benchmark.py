"""Timing a training step against the matrix products that it cannot do without.

Both run in turn in one process, so that a machine that speeds up or slows down does so for both; what is reported is
medians, and the median of the ratios of neighbours with its spread.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigpt.backend import Backend
from minigpt.config import OptimizerConfig
from minigpt.data.batch import Batch
from minigpt.models import GPT, GPTConfig
from minigpt.train.optimizer import AdamW
from minigpt.train.shards import ShardPool


class Shape(NamedTuple):
    """A model and a batch whose step is timed."""

    layers: int
    heads: int
    width: int
    context: int
    batch: int
    vocab_size: int
    about: str


SHAPES = {
    "S": Shape(4, 4, 128, 64, 12, 65, "nanoGPT's CPU recipe"),
    "M": Shape(6, 6, 384, 256, 8, 65, "a 10M-parameter character model"),
    "L": Shape(12, 12, 768, 256, 1, 50257, "GPT-2 124M, one row"),
}


def timed(function: Callable[[], object], synchronize: Callable[[], None] = lambda: None) -> float:
    started = time.perf_counter()
    function()
    synchronize()
    return time.perf_counter() - started


def training_step(shape: Shape, pool: ShardPool, backend: Backend) -> Callable[[], object]:
    """One step on one fixed batch: forward, backward and AdamW, float32, no dropout."""
    model = GPT(GPTConfig(shape.vocab_size, shape.context, shape.layers, shape.heads, shape.width))
    params = model.init(seed=0, backend=backend)
    optimizer = AdamW(params, OptimizerConfig())
    rng = np.random.default_rng(0)
    ids = rng.integers(0, shape.vocab_size, (2, shape.batch, shape.context))
    batch = Batch(*ids)
    count = iter(range(sys.maxsize))

    def step() -> None:
        _, grads = pool.loss_and_grads(model, params, [batch], seed=0, step=next(count), to_device=backend.asarray)
        optimizer.step(params, grads, 1e-4)

    return step


def linear_products(shape: Shape, pool: ShardPool) -> Callable[[], object]:
    """The step's linear layers as nothing but matrix products (y = x W, dx = dy Wᵀ, dW = xᵀ dy), cut like the step."""
    c, rng = shape.width, np.random.default_rng(0)
    sizes = [(c, 3 * c), (c, c), (c, 4 * c), (4 * c, c)] * shape.layers + [(c, shape.vocab_size)]
    rows = [len(part.inputs) * shape.context for _, part in _dummy_batch(shape).split(pool.workers)]
    weights = {size: rng.standard_normal(size, dtype=np.float32) for size in set(sizes)}

    def work(n: int) -> None:
        for (i, o), (x, dy, y, dx, dw) in ((size, arrays[n][size]) for size in sizes):
            w = weights[i, o]
            np.matmul(x, w, out=y)
            np.matmul(dy, w.T, out=dx)
            np.matmul(x.T, dy, out=dw)

    def buffers(n: int, i: int, o: int) -> list[np.ndarray]:
        shapes = [(n, i), (n, o), (n, o), (n, i), (i, o)]
        return [rng.standard_normal(s, dtype=np.float32) for s in shapes]

    arrays: dict[int, Any] = {k: {size: buffers(n, *size) for size in set(sizes)} for k, n in enumerate(rows)}
    return lambda: pool.map(work, range(len(rows)))


def _dummy_batch(shape: Shape) -> Batch:
    ids = np.zeros((shape.batch, shape.context), dtype=int)
    return Batch(ids, ids)


def bench_step(
    name: str, *, repeats: int, workers: int, backend: Backend, progress: Callable[[], object] = lambda: None
) -> dict[str, Any]:
    """Time one shape.

    Returns:
        milliseconds (median, tenth and ninetieth percentile), tokens per second, the process's peak memory in MB, and
        the ratio of the step to its own matrix products (NumPy only).
    """
    shape = SHAPES[name]
    with ShardPool(workers) as pool:
        step = training_step(shape, pool, backend)
        functions = [step] + ([linear_products(shape, pool)] if backend.name == "numpy" else [])
        for function in functions * 2:  # warm up
            function()
        rounds = []
        for _ in range(repeats):
            rounds.append([timed(function, backend.synchronize) for function in functions])
            progress()
    milliseconds = sorted(1e3 * r[0] for r in rounds)
    result = {
        "ms": statistics.median(milliseconds),
        "ms_p10": milliseconds[len(milliseconds) // 10],
        "ms_p90": milliseconds[-1 - len(milliseconds) // 10],
        "tokens_per_second": shape.batch * shape.context / statistics.median(milliseconds) * 1e3,
        "peak_mb": _peak_megabytes(),
        "ratio": {},
    }
    if len(functions) > 1:
        result["ratio"]["gemm"] = statistics.median(r[0] / r[1] for r in rounds)
    return result


def _peak_megabytes() -> float | None:
    """The largest resident size that this process had; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
