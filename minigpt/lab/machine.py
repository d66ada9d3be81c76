"""What this machine offers, and what is missing and why."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import numpy as np

from minigpt import __version__
from minigpt.blocks.dispatch import numba_problem
from minigpt.core.backend import cupy_problem, get_backend
from minigpt.core.cores import available_cores
from minigpt.core.errors import UserError
from minigpt.core.files import cache_folder
from minigpt.kernels.emulator import compiler, compiler_problem
from minigpt.lab.benchmark.conditions import blas, processor


def offers() -> dict[str, str | int]:
    """By name, in the order in which it is shown."""
    return {
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
