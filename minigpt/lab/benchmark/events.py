"""How long something takes on a GPU or a CPU, and what the machine could do at best."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minigpt.blocks.mixed import low_dtype
from minigpt.core.backend import Backend
from minigpt.kernels.launch import module

WARM_UP = 3
SPIN = 4_000_000  # clocks that the GPU is kept busy for before a call is timed: about two milliseconds

# Peak FLOP/s (dense; 16-bit with float32 sums, float32) and bytes/s, as the makers state them.
STATED = {
    "H200": (989e12, 67e12, 4.8e12),
    "H100 PCIe": (756e12, 51e12, 2.0e12),
    "H100": (989e12, 67e12, 3.35e12),
    "A100": (312e12, 19.5e12, 2.0e12),
    "RTX 4090": (165e12, 82.6e12, 1.01e12),
    "RTX 3090": (71e12, 35.6e12, 0.94e12),
    "L40S": (362e12, 91.6e12, 0.86e12),
    "L4": (121e12, 30.3e12, 0.3e12),
}


class Ceiling(NamedTuple):
    """The best that a machine does: FLOP/s of matrix products, bytes/s of a copy."""

    flops: float
    bytes: float

    def floor_ms(self, flops: float, moved: float) -> float:
        """The time below which no program can be: arithmetic or memory, whichever takes longer."""
        return 1e3 * max(flops / self.flops, moved / self.bytes)


class Time(NamedTuple):
    """Milliseconds: median, tenth and ninetieth percentile; and what Python needs to ask for it (0: not told apart)."""

    median: float
    low: float
    high: float
    host: float = 0.0

    @classmethod
    def of(cls, times: list[tuple[float, float]]) -> Time:
        """Of the times and the host's times of some calls."""
        ordered = sorted(time for time, _ in times)
        tenth = len(ordered) // 10
        host = statistics.median(host for _, host in times)
        return cls(statistics.median(ordered), ordered[tenth], ordered[-1 - tenth], host)


def measure(functions: list[Callable[[], object]], repeats: int, backend: Backend) -> Time:
    """Time functions that do the same on different inputs, in turn, so that no input is still in a cache.

    On a GPU with events around each call, after a warm-up that compiles; on a CPU with the wall clock. The GPU is kept
    busy until a call's kernels have all been asked for: on an idle one, events would time Python.
    """
    for function in functions * (1 if len(functions) >= WARM_UP else WARM_UP):
        function()
    clock = _events(backend.xp) if backend.name == "cupy" else _wall_clock
    return Time.of([clock(functions[i % len(functions)]) for i in range(repeats)])


def _wall_clock(function: Callable[[], object]) -> tuple[float, float]:
    started = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - started), 0.0


def _events(cupy: Any) -> Callable[[Callable[[], object]], tuple[float, float]]:
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    spin = module("spin.cu", {}, cupy, None)

    def clock(function: Callable[[], object]) -> tuple[float, float]:
        spin.launch("spin", (1,), (1,), (np.int64(SPIN),))
        start.record()
        asked = time.perf_counter()
        function()
        host = 1e3 * (time.perf_counter() - asked)
        end.record()
        end.synchronize()
        return cupy.cuda.get_elapsed_time(start, end), host

    return clock


@lru_cache(1)
def _normal(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(1 << 20, dtype=np.float32)


def drawn(shape: tuple[int, ...], dtype: str, backend: Backend, seed: int) -> Any:
    """Standard normals for a benchmark: a million are drawn and cross to the device, where they repeat."""
    xp, size = backend.xp, math.prod(shape)
    block = backend.asarray(_normal(seed)).astype(low_dtype(dtype))
    whole = xp.ascontiguousarray(xp.broadcast_to(block, (-(-size // block.size), block.size)))
    return whole.reshape(-1)[:size].reshape(shape)


def sets_beyond_the_cache(size: int, backend: Backend) -> int:
    """How many sets of inputs of `size` bytes are more than twice the second-level cache (on a CPU: one)."""
    if backend.name != "cupy":
        return 1
    cache = backend.xp.cuda.Device().attributes["L2CacheSize"]
    return min(64, max(2, -(-2 * cache // max(size, 1)) + 1))


def device_name(backend: Backend) -> str:
    return backend.xp.cuda.runtime.getDeviceProperties(backend.xp.cuda.Device().id)["name"].decode()


def stated_ceiling(backend: Backend, dtype: str) -> Ceiling | None:
    """What the maker of this card says of it, if it is in the table."""
    name = device_name(backend)
    for card, (low, single, moved) in STATED.items():
        if all(word in name for word in card.split()):
            return Ceiling(single if dtype == "float32" else low, moved)
    return None


def ceilings_of(backend: Backend, dtype: str) -> dict[str, Ceiling]:
    """Both ceilings of this card by name: as it is measured and, if it is in the table, as its maker states it."""
    stated = stated_ceiling(backend, dtype)
    return {"measured": measured_ceiling(backend, dtype)} | ({} if stated is None else {"stated": stated})


def measured_ceiling(backend: Backend, dtype: str, *, size: int = 8192, megabytes: int = 512) -> Ceiling:
    """What this card reaches in a large matrix product and in a copy."""
    xp = backend.xp
    a = drawn((size, size), dtype, backend, 0)
    product = measure([lambda: xp.matmul(a, a)], 10, backend).median
    x = xp.zeros(megabytes << 20, np.uint8)
    y = xp.empty_like(x)

    def copy() -> None:
        y[...] = x

    moved = measure([copy], 10, backend).median
    return Ceiling(2 * size**3 / product * 1e3, 2 * x.nbytes / moved * 1e3)
