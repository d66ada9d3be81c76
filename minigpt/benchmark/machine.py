"""What the machine did meanwhile: processor time of everybody, and the largest memory of a process."""

from __future__ import annotations

import os
import sys
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


def peak_megabytes() -> float | None:
    """The largest resident size that this process had; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
