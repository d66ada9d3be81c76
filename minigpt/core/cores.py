"""How many cores this process may use: those it is bound to, and what its container's quota allows.

A container can be held to a share of the machine's time without being bound to cores (`docker run --cpus 2`). More
workers than that only wait for one another: the kernel stops all of them when the share of a period is used up. Linux
keeps the quota in files of control groups, of which there are two versions; every group above ours counts as well.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def available_cores() -> int:
    """The number of cores that this process may use, at least 1; a part of one counts as one."""
    bound, quota = _bound_cores(), cpu_quota()
    return bound if quota is None else max(1, min(bound, math.ceil(quota)))


def _bound_cores() -> int:
    if hasattr(os, "process_cpu_count"):  # from Python 3.13; it knows PYTHON_CPU_COUNT as well
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Seconds of computing that this process and its group may use a second; None without a limit.

    Args:
        root: where proc and the control groups' file systems are found.
    """
    quotas = [quota for folder in _groups(root) if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the control groups that this process is in, and of those above them."""
    own: dict[str, str] = {}  # the path of our group in the hierarchy: "" for version 2, "cpu" for version 1
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        own |= {name: path for name in controllers.split(",") if name in ("", "cpu")}
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), (*after.split(), "", "", "")[:3]
        name = {"cgroup2": "", "cgroup": "cpu"}.get(kind[0])
        if name is None or name not in own or len(fields) < 5 or (name and name not in kind[2].split(",")):
            continue
        top = root / fields[4].replace("\\040", " ").lstrip("/")
        inside = own[name].removeprefix(fields[3].rstrip("/")).strip("/")  # a container sees its own part alone
        folder = top / inside
        while folder != top:
            yield folder
            folder = folder.parent
        yield top


def _quota_of(folder: Path) -> float | None:
    """quota/period in microseconds: one file in version 2 ("max" is no limit), two in version 1 (-1 is none)."""
    values = " ".join(_lines(folder / "cpu.max")).split()
    if not values:
        values = [*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")]
    try:
        quota, period = map(int, values)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _lines(path: Path) -> list[str]:
    """A file's lines that hold something; none where it is not there or not ours to read."""
    try:
        return [line for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if line]
    except OSError:
        return []
