"""NumPy or CuPy: which module an array belongs to, and where new arrays are made.

Operations never choose a backend. They ask `array_module(x)` for the module that their inputs live in, so the same
lines run on a CPU and on a GPU. A run chooses its backend once, with `get_backend`. This is the only file that
imports CuPy, and it does so inside one function: without CuPy, or without a GPU, everything else still works.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol, cast

import numpy as np
from numpy.typing import DTypeLike

from minigpt.core.errors import UserError

# An array of NumPy or of CuPy. CuPy's have the methods of NumPy's, so a type checker takes every array for one of
# NumPy's; nothing depends on it when the program runs. `array_module` tells the two apart.
Array = np.ndarray

_NEEDS_CUPY = "in the clone, install the extra that fits your driver: pip install '.[cuda12]' or '.[cuda13]'"

# Words in an error that trying CuPy ends in, and what helps; the first that occurs counts.
_REMEDIES = (
    (
        ("insufficient", "unsupported toolchain", "unsupported_ptx", "no kernel image"),
        "CuPy is for a newer CUDA than this driver or GPU knows: update the driver, or install the older extra",
    ),
    (
        ("nvrtc", "cannot open source file", "cannot open shared object", "cuda_path", "headers", "builtins"),
        "parts of the CUDA toolkit are missing or of another version; the extra brings them along: "
        "uninstall CuPy, then, in the clone, pip install '.[cuda12]' or '.[cuda13]'",
    ),
    (("out of memory", "memory allocation"), "another program holds the GPU's memory: end it, or take another GPU"),
)
_TRIAL = 'extern "C" __global__ void add_one(float* x) { x[threadIdx.x] += 1.0f; }'


class _OnGpu(Protocol):
    def get(self) -> np.ndarray: ...


def _load_cupy() -> ModuleType:
    import cupy

    return cupy


def array_module(*arrays: Array | None) -> ModuleType:
    """Return the module, `numpy` or `cupy`, that all the given arrays belong to; `None`s are passed over.

    Raises:
        TypeError: arrays of both kinds are mixed, which would mean a hidden copy between CPU and GPU.
    """
    on_gpu = [type(x).__module__.partition(".")[0] == "cupy" for x in arrays if x is not None]
    if not any(on_gpu):
        return np
    if not all(on_gpu):
        raise TypeError("NumPy and CuPy arrays are mixed in one operation; move them to one backend first")
    return _load_cupy()


@dataclass(frozen=True)
class Backend:
    """Where a run's arrays live: allocation, transfer and waiting, for NumPy or CuPy."""

    name: str
    xp: ModuleType

    def asarray(self, x: Array, dtype: DTypeLike | None = None) -> Array:
        """Bring `x` to this backend (a copy only if it has to be)."""
        return self.xp.asarray(x, dtype=dtype)

    def to_host(self, x: Array) -> np.ndarray:
        """Return `x` as a NumPy array."""
        return np.asarray(x) if array_module(x) is np else cast(_OnGpu, x).get()

    def synchronize(self) -> None:
        """Wait until the device has done everything that was asked of it; nothing to do for NumPy."""
        if self.name == "cupy":
            self.xp.cuda.get_current_stream().synchronize()


def backend_of(x: Array) -> Backend:
    """Return the backend that an array lives on."""
    xp = array_module(x)
    return Backend("numpy" if xp is np else "cupy", xp)


def cupy_problem() -> str | None:
    """Say in one sentence why CuPy cannot be used here and what helps, or return None if it can, which is tried."""
    try:
        cupy = _load_cupy()
    except Exception as error:
        if isinstance(error, ImportError) and error.name == "cupy":
            return f"CuPy is not installed; {_NEEDS_CUPY}"
        why, cure = f"({_first_line(error)})", _NEEDS_CUPY
        if isinstance(error, (AttributeError, ValueError)):  # made for a NumPy whose names or structs were others
            why = f"with NumPy {np.__version__}, for another version of which it was made {why}"
            cure = f"upgrade CuPy: {_NEEDS_CUPY}"
        return f"CuPy is installed but does not import {why}; {cure}"
    if not cupy.is_available():
        return f"CuPy {cupy.__version__} is installed, but it finds no usable CUDA GPU or driver"
    return _trial(cupy)


def _trial(cupy: ModuleType) -> str | None:
    """Compute something on the GPU by an elementwise operation and by a kernel: None, or why one of them fails."""
    what = "an elementwise operation"
    try:
        x = cupy.asarray(np.arange(4, dtype=np.float32))
        y = x + x
        what = "a kernel"
        kernel = cupy.RawModule(code=_TRIAL, options=("--std=c++17",)).get_function("add_one")
        kernel((1,), (4,), (y,))
        found = y.get().tolist()
    except Exception as error:  # CuPy's, NVRTC's or the driver's own: there are dozens
        said = _first_line(error)
        cures = [cure for words, cure in _REMEDIES if any(word in str(error).lower() for word in words)]
        remedy = [*cures, f"reinstall it: {_NEEDS_CUPY}"][0]
        return f"CuPy {cupy.__version__} finds a GPU, but {what} fails ({said}); {remedy}"
    if found != [1.0, 3.0, 5.0, 7.0]:
        return f"CuPy {cupy.__version__} finds a GPU, but computes 2 (0, 1, 2, 3) + 1 as {found}; {_NEEDS_CUPY}"
    return None


def _first_line(error: Exception) -> str:
    """What an error says, without the pages that may follow."""
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


def get_backend(name: str | None = None) -> Backend:
    """Return the backend called `name`; by default the one that MINIGPT_BACKEND names, else NumPy.

    Raises:
        UserError: the name is unknown, or CuPy cannot be used on this machine.
    """
    name = name or os.environ.get("MINIGPT_BACKEND") or "numpy"
    if name == "numpy":
        return Backend("numpy", np)
    if name != "cupy":
        raise UserError(f"unknown backend {name!r}: choose numpy or cupy")
    problem = cupy_problem()
    if problem:
        raise UserError(f"the cupy backend cannot run: {problem}")
    return Backend("cupy", _load_cupy())
