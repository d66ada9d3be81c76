"""`minigpt info`: what this machine offers, and what is missing and why; and of a run, whether its files are whole."""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import version

import numpy as np

from minigpt import __version__
from minigpt.blocks.dispatch import numba_problem
from minigpt.cli.common import only_text, show
from minigpt.core.backend import cupy_problem, get_backend
from minigpt.core.cores import available_cores
from minigpt.core.errors import UserError
from minigpt.core.files import cache_folder
from minigpt.kernels.emulator import compiler, compiler_problem
from minigpt.lab.benchmark.conditions import blas, processor
from minigpt.train.integrity import checkpoint_paths, is_listed, problems
from minigpt.train.report import FINISHED, ended_at
from minigpt.train.run_folder import find_run


def _numba() -> str:
    problem = numba_problem()
    return f"operations are not compiled: {problem}" if problem else f"{version('numba')}: operations are compiled"


def _gpu() -> str:
    problem = cupy_problem()
    if problem:
        return f"not usable: {problem}"
    cupy = get_backend("cupy").xp
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return f"CuPy {cupy.__version__}, {name}"


def _backend() -> str:
    try:
        return get_backend().name
    except UserError as error:
        return f"MINIGPT_BACKEND is {os.environ['MINIGPT_BACKEND']!r}, but {error}"


def _kernels() -> str:
    """Where CUDA kernels run, and what is missing where they do not."""
    gpu, emulator = cupy_problem(), compiler_problem()
    where = [place for place, problem in (("the GPU", gpu), ("the CPU emulator", emulator)) if not problem]
    problems = ["not on a GPU (see gpu)"] if gpu else []
    problems += [f"not emulated: {emulator}"] if emulator else []
    return "; ".join([f"run on {' and '.join(where)}" if where else "cannot run", *problems])


def _verify(args: argparse.Namespace) -> int:
    """Say of each checkpoint whether all that resuming from it needs is what was saved."""
    folder = find_run(only_text("RUN", args.run_folder or ""))
    found = {path.name: problems(path) for path in checkpoint_paths(folder)}
    unlisted = [path.name for path in checkpoint_paths(folder) if not is_listed(path)]
    if (folder / FINISHED).exists() and ended_at(folder) is None:
        found["end"] = ["what was logged after the last step is damaged; resuming measures it again"]
    status = int(not found or any(found.values()))
    lines = [] if checkpoint_paths(folder) else [f"{folder} has no checkpoint"]
    for name, damage in found.items():
        good = "unverified: it is of before there were lists of hashes" if name in unlisted else "good"
        lines.append(f"{name}: {'; '.join(damage) or good}")
    show(args, {"run": str(folder), "damage": found, "unverified": unlisted}, "\n".join(lines))
    return status


def run(args: argparse.Namespace) -> int:
    if args.verify or args.run_folder is not None:
        return _verify(args)
    values = {
        "minigpt": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": available_cores(),
        "numpy": np.__version__,
        "blas": blas(),
        "numba": _numba(),
        "gpu": _gpu(),
        "backend": _backend(),
        "c++ compiler": "none found" if compiler_problem() else compiler(),
        "cuda kernels": _kernels(),
        "cache": str(cache_folder()),
    }
    show(args, values, "\n".join(f"{name:<13} {value}" for name, value in values.items()))
    return 0
