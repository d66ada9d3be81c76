"""Where a step's time goes: every operation timed, forward and backward, in one thread and without changing it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from minigpt.blocks.dispatch import operations
from minigpt.core.backend import get_backend
from minigpt.data.batch import Batch
from minigpt.lab.benchmark.shapes import SHAPES
from minigpt.models import GPT
from minigpt.train.settings import RunConfig
from minigpt.train.state import new_optimizer
from minigpt.train.stepper import stepping

_OWN = ("add", "empty")  # functions of the operations that are neither a forward nor a backward pass


def timed_operations(module: ModuleType, seconds: dict[str, float], now: Callable[[], float]) -> Any:
    """The same operations, each adding the time of its calls by the clock `now` to `seconds` under its name."""

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            started = now()
            result = function(*arguments, **options)
            seconds[name] += now() - started
            return result

        return call

    def wrap(name: str, value: Any) -> Any:
        if callable(value):
            return timed(name, value) if name.endswith(("_forward", "_backward")) or name in _OWN else value
        if isinstance(value, dict):  # activations, and what is fused
            return {k: timed(k, v) if callable(v) else both(k, v) for k, v in value.items()}
        return value

    def both(name: str, pair: tuple[Callable[..., Any], Callable[..., Any]]) -> Any:
        return timed(f"{name}_forward", pair[0]), timed(f"{name}_backward", pair[1])

    return SimpleNamespace(**{name: wrap(name, getattr(module, name)) for name in dir(module) if name[0] != "_"})


def profile_step(name: str, *, repeats: int, clock: str = "wall") -> dict[str, float]:
    """Milliseconds that each operation takes in one training step of a shape: medians over `repeats` steps.

    The step runs in one thread with one BLAS thread, on the rows that one of two workers would have. "everything else"
    is what no operation accounts for: Python, and the model's own code.
    """
    shape = SHAPES[name]
    shape = shape._replace(batch=max(1, shape.batch // 2))
    backend = get_backend("numpy")
    seconds: dict[str, float] = defaultdict(float)
    model = GPT(shape.config)
    params = model.init(seed=0)
    optimizer = new_optimizer(RunConfig(), params)
    now = time.thread_time if clock == "cpu" else time.perf_counter
    timed = timed_operations(operations("auto", backend), seconds, now)
    with stepping(model, params, optimizer, operations=timed) as stepper, threadpool_limits(1):
        batch = Batch(*np.random.default_rng(0).integers(0, shape.vocab_size, (2, shape.batch, shape.context)))
        steps: list[dict[str, float]] = []
        for step in range(repeats + 2):
            seconds.clear()
            started = now()
            stepper.loss_and_grads([batch], seed=0, step=step)
            before = now()
            stepper.update(1e-4)
            end, total = now(), sum(seconds.values())
            steps.append({**seconds, "AdamW": end - before, "everything else": before - started - total})
    names = {key for record in steps for key in record}
    medians = {key: 1e3 * float(np.median([record.get(key, 0.0) for record in steps[2:]])) for key in names}
    return dict(sorted(medians.items(), key=lambda item: -item[1]))
