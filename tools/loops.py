"""How many numbers a second each compiled operation takes, beside NumPy's fast one: CPU time, in turn, on one thread.

    python tools/loops.py               # needs Numba: pip install -e ".[numba]"

A number is one of the input's; of attention, one score that the causal mask leaves.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from minigpt import fast
from minigpt.core.params import Parameters, ParameterSpec
from minigpt.fast.loops import OPERATIONS, adamw
from minigpt.ops import DropoutKey, Mask
from minigpt.train.optimizer import AdamW, CompiledAdamW, OptimizerConfig

KEY = DropoutKey(1, 2, 3, 0)
Work = Callable[[], object]


class Pair(NamedTuple):
    """An operation with NumPy and with loops, and how many numbers it takes."""

    name: str
    numbers: int
    plain: Work
    loop: Work


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def both(name: str, numbers: int, make: Callable[[Any], Work]) -> Pair:
    return Pair(name, numbers, make(fast), make(OPERATIONS))


def pairs() -> Iterator[Pair]:
    """Every operation that has a loop, at the sizes of benchmark shape M."""
    x, hidden, gain = normal(8, 256, 384), normal(8, 256, 1536), normal(384)
    for name in ("gelu_tanh", "gelu_erf", "silu", "swiglu"):
        yield both(name, hidden.size, lambda table, name=name: partial(table.ACTIVATIONS[name][0], hidden))
    for name in ("layernorm", "rmsnorm"):
        yield both(f"{name} forward", x.size, lambda table, name=name: partial(forward(table, name), x, gain))
        yield both(f"{name} backward", x.size, lambda table, name=name: norm_backward(table, name, x, gain))
    for context in (64, 256, 1024):
        q = normal(2048 // context, context, 6, 64)
        for rate in (0.0, 0.1):
            options = {"mask": Mask(causal=True), "dropout": rate, "key": KEY}
            name, numbers = f"attention T {context}" + ", dropout" * bool(rate), q.shape[0] * 6 * context**2 // 2
            yield both(f"{name} forward", numbers, lambda t, q=q, o=options: partial(t.attention_forward, q, q, q, **o))
            yield both(f"{name} backward", numbers, lambda t, q=q, o=options: attention_backward(t, q, o))
    for classes in (65, 50257):
        logits, targets = normal(2**22 // classes, classes), np.zeros(2**22 // classes, np.int64)
        work = partial(forward, name="cross_entropy")
        yield both(
            f"cross-entropy V {classes}", logits.size, lambda t, z=logits, y=targets, f=work: partial(f(t), z, y)
        )
    yield both("dropout", x.size, lambda table: partial(table.dropout_forward, x, 0.1, KEY))
    params = Parameters([ParameterSpec("matrix", (2**22,))], normal(2**22))
    step = (params, params.copy(), 1e-4)
    plain, loop = AdamW(params, OptimizerConfig()), CompiledAdamW(params, OptimizerConfig(), adamw)
    yield Pair("AdamW", 2**22, partial(plain.step, *step), partial(loop.step, *step))


def forward(table: Any, name: str) -> Callable[..., object]:
    function: Callable[..., object] = getattr(table, f"{name}_forward")
    return function


def norm_backward(table: Any, name: str, x: np.ndarray, gain: np.ndarray) -> Work:
    _, cache = getattr(table, f"{name}_forward")(x, gain)
    return partial(getattr(table, f"{name}_backward"), x, cache, np.zeros_like(gain))


def attention_backward(table: Any, q: np.ndarray, options: dict[str, Any]) -> Work:
    y, cache = table.attention_forward(q, q, q, **options)
    return partial(table.attention_backward, y, cache)


def cpu_seconds(work: Work, times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times


def compare(pair: Pair, rounds: int) -> str:
    """One line: numbers a second, and the ratio of the times with its range over the rounds."""
    for _ in range(2):
        pair.plain(), pair.loop()
    times = max(1, round(0.02 / cpu_seconds(pair.loop, 1)))
    seconds = np.array([[cpu_seconds(pair.plain, times), cpu_seconds(pair.loop, times)] for _ in range(rounds)])
    ratios = seconds[:, 1] / seconds[:, 0]
    plain, loop = pair.numbers / np.median(seconds, axis=0) / 1e6
    spread = f"{np.median(ratios):.2f} [{ratios.min():.2f}, {ratios.max():.2f}]"
    return f"{pair.name:<36} {plain:6.0f} M/s  {loop:6.0f} M/s  {spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(f"{'':<36} {'NumPy':>10}  {'loops':>10}  time / NumPy's")
    with threadpool_limits(1):
        for pair in pairs():
            print(compare(pair, rounds), flush=True)


if __name__ == "__main__":
    main()
