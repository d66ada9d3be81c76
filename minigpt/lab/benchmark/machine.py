"""What the machine did meanwhile: processor time of everybody, and the largest memory of a process."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

_STAT = Path("/proc/stat")


def busy_seconds() -> float | None:
    """Processor seconds that all processes (and the host that took some away) used since boot; None if unknown."""
    try:
        fields = _STAT.read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Processor seconds that this process used, all its threads together."""
    times = os.times()
    return times.user + times.system


def children_seconds() -> float:
    """Processor seconds that this process's living children used."""
    return sum(map(process_seconds, multiprocessing.active_children()))


def process_seconds(child: BaseProcess) -> float:
    """Processor seconds that a living child used."""
    try:
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_megabytes() -> float | None:
    """The largest resident size that this process had; None where the system does not say.

    Of its living children, what they hold now and share with nobody is added.
    """
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    own = peak / 1e6 if sys.platform == "darwin" else peak / 1e3
    return own + sum(map(_private_megabytes, multiprocessing.active_children()))


def _private_megabytes(child: multiprocessing.Process) -> float:
    try:
        lines = Path(f"/proc/{child.pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1e3
