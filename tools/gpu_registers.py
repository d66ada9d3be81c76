"""Registers, spills and shared memory of every kernel on every architecture: a table for docs/gpu.md, without a GPU.

    python -m tools.gpu_registers [PROCESSES]           # CuPy with its toolkit, whose NVRTC does the work

The builds are those of tests/kernels/test_nvrtc.py, which holds them to their budgets. A cell is the most registers of
a thread and, if there are any, the most spilled bytes of a kernel. Shared memory is what a kernel declares; what
attention asks for at its launch besides is held to 99 kB by tests/kernels/test_mma.py.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.kernels import test_nvrtc as builds

CARDS = {"80": "A100", "86": "RTX 3090", "89": "L4, RTX 4090", "90": "H100, H200", "100": "B200", "120": "RTX 5090"}


def group(build: str) -> str:
    """The row of the table that a build belongs to."""
    name, *parts = build.split("-")
    if name == "mma":
        direction, dtype, _, *variant = parts
        return ", ".join([f"mma_{direction}", "TF32" if dtype == "float32" else "16 bits", *variant])
    return f"{name}, float64" if "float64" in parts else f"{name}, wide rows" if "widest" in parts else name


def measured(build: str, architecture: str) -> tuple[str, str, int, int, int]:
    """The build's row, its column, and the most registers, spilled bytes and static shared bytes of its kernels."""
    file, defines, _, _ = builds.BUILDS[build]
    with contextlib.redirect_stdout(io.StringIO()):  # the compiler's log
        usage = builds.compiled(file, architecture, defines).values()
    registers, spills, shared = map(max, zip(*usage, strict=True))
    return group(build), architecture, registers, spills, shared


def table(found: list[tuple[str, str, int, int, int]]) -> Iterator[str]:
    yield (
        "| kernels | "
        + " | ".join(f"sm_{name} ({card})" for name, (_, card) in CARDS.items())
        + " | static shared, B |"
    )
    yield "|---|" + "--:|" * (len(CARDS) + 1)
    for row in dict.fromkeys(name for name, *_ in found):
        cells = []
        for column in CARDS:
            here = [one[2:] for one in found if one[:2] == (row, column)]
            registers, spills = max((r for r, _, _ in here), default=0), max((s for _, s, _ in here), default=0)
            cells.append(f"{registers}, {spills} B" if spills else f"{registers or ''}")
        shared = max(one[4] for one in found if one[0] == row)
        yield f"| {row} | " + " | ".join(cells) + f" | {shared} |"


def main(processes: int) -> None:
    from cupy.cuda import nvrtc

    asked = [(build, architecture) for build in builds.BUILDS for architecture in builds.architectures(build)]
    with ProcessPoolExecutor(processes) as pool:
        found = list(pool.map(measured, *zip(*asked, strict=True)))
    print("NVRTC", ".".join(map(str, nvrtc.getVersion())))
    print("\n".join(table(found)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
