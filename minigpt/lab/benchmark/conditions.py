"""On what, and beside what, something was timed: without it no number can be compared with another.

A processor's name says little (virtual machines rename it), so two numbers that decide most of a step's time are
measured: how fast one thread multiplies matrices, and how fast it reads memory.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from minigpt.core.cores import available_cores
from minigpt.lab.benchmark.contest import Interval, interval
from minigpt.lab.benchmark.machine import busy_seconds, own_seconds

SIZE, BYTES, ROUNDS = 512, 1 << 27, 5


class Conditions(NamedTuple):
    """What a machine is, and what it was doing.

    Attributes:
        blas: the libraries that NumPy multiplies with, and whose processor their kernels are written for.
        gflops: 10⁹ operations a second in products of 512 × 512 float32 matrices, one thread.
        gigabytes: 10⁹ bytes a second that one thread reads, as the matrix of a matrix–vector product of 134 MB.
        load: processes that wanted a core in the last minute, on average; None where the system does not say.
        others: cores that other processes used while this was measured; None likewise.
    """

    processor: str
    cores: int
    numpy: str
    blas: str
    gflops: Interval
    gigabytes: Interval
    load: float | None
    others: float | None

    def sentence(self) -> str:
        """One line for people."""
        load = "" if self.load is None else f"; load {self.load:.1f} at the start"
        others = "" if self.others is None else f", {self.others:.1f} cores taken by others"
        return (
            f"{self.processor}, {self.cores} cores; NumPy {self.numpy}, {self.blas}; one thread: products of {SIZE} "
            f"{_said(self.gflops)} GFLOP/s, reading {_said(self.gigabytes)} GB/s{load}{others}"
        )

    def values(self) -> dict[str, object]:
        """What --json prints."""
        values = self._asdict()
        return values | {name: [*values[name]] for name in ("gflops", "gigabytes")}


def load_average() -> float | None:
    """See `Conditions.load`."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # Windows has none


def measured_conditions(rounds: int = ROUNDS, *, load: float | None) -> Conditions:
    """Look around; takes about a third of a second.

    Measure after contests: on Linux a process that is started later counts what memory this one had as its own peak.

    Args:
        load: what `load_average` was at the start.
    """
    before, own, started = busy_seconds(), own_seconds(), time.perf_counter()
    with threadpool_limits(1, user_api="blas"):
        gflops, gigabytes = _products(rounds), _reading(rounds)
    used, wall, after = own_seconds() - own, time.perf_counter() - started, busy_seconds()
    others = None if before is None or after is None else max(0.0, (after - before - used) / wall)
    return Conditions(processor(), available_cores(), np.__version__, blas(), gflops, gigabytes, load, others)


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, on Linux with family and model number, which tell a generation where the name does not."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    name = fields.get("model name") or platform.processor() or platform.machine() or "unknown processor"
    if "cpu family" in fields and "model" in fields:
        return f"{name} (family {fields['cpu family']}, model {fields['model']})"
    return name


def blas() -> str:
    """The linear algebra libraries that are loaded, such as "openblas 0.3.31 (SkylakeX kernels, 2 threads)"."""
    np.ones((2, 2)) @ np.ones((2, 2))  # so that NumPy's is loaded
    found = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    said = "{internal_api} {version} ({architecture} kernels, {num_threads} threads)"
    return ", ".join(said.format_map({"architecture": "unnamed"} | lib) for lib in found) or "unknown BLAS"


def _products(rounds: int) -> Interval:
    a = np.full((SIZE, SIZE), 0.01, np.float32)
    y = np.empty_like(a)
    return _rate(lambda: np.matmul(a, a, out=y), 2 * SIZE**3, rounds, 8)


def _reading(rounds: int) -> Interval:
    matrix = np.ones((BYTES // 4 // 4096, 4096), np.float32)
    x = np.ones(len(matrix), np.float32)
    return _rate(lambda: x @ matrix, BYTES, rounds, 1)


def _rate(work: Callable[[], object], amount: int, rounds: int, times: int) -> Interval:
    """10⁹ a second, by the processor time of this thread: others on the same core slow it down little."""
    work()
    rates = []
    for _ in range(rounds):
        started = time.thread_time()
        for _ in range(times):
            work()
        rates.append(amount * times / (time.thread_time() - started) / 1e9)
    return interval(rates)


def _said(x: Interval) -> str:
    return f"{x.median:.0f} [{x.low:.0f}, {x.high:.0f}]"
