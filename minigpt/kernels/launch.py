"""One way to launch a kernel, on a GPU through CuPy or on the CPU through the emulator.

`module(file, defines, xp, emulation)` gives a compiled source; `launch` runs one of its kernels. Compilation happens at
the first launch, once, under a lock; its errors carry the compiler's log. A kernel ignores strides, dtypes and devices,
so what is handed to it is checked here: arrays by `check_array`, scalars by their exact NumPy type (a Python int would
silently become 64 bits), and structs are built with C's layout by `struct`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from minigpt.core.backend import Array
from minigpt.core.errors import UserError
from minigpt.kernels.emulator import EmulatedModule, Emulation
from minigpt.kernels.source import read_source

MAX_GRID = 65535  # blocks along the second and third axis of a grid

_modules: dict[tuple, Module] = {}
_lock = threading.RLock()


class Module:
    """A kernel source for one set of preprocessor definitions, for one device or the emulator; compiled when needed."""

    def __init__(self, code: str, defines: Mapping[str, Any], xp: ModuleType, emulation: Emulation | None):
        self._code, self._xp, self._emulation = code, xp, emulation
        self._options = tuple(f"-D{k}={v}" for k, v in defines.items())
        self._kernels: dict[str, Any] = {}
        self._compiled: Any = None

    def launch(
        self, name: str, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], *, shared_mem: int = 0
    ) -> None:
        """Run a kernel on `grid` blocks of `block` threads with `shared_mem` bytes of dynamic shared memory a block.

        Args: arrays for pointers, None for a null pointer, NumPy scalars (np.int32(…), np.float32(…)), `struct`s.
        """
        if 0 in grid:  # nothing to compute, and CuPy would launch one block
            return
        for i, value in enumerate(args):
            if value is not None and not hasattr(value, "dtype"):
                raise TypeError(f"{name}: argument {i} is a Python {type(value).__name__}; pass a NumPy scalar")
        kernel = self._kernels.get(name) or self._kernel(name)
        if shared_mem > kernel.max_dynamic_shared_size_bytes:
            _allow_shared(kernel, name, shared_mem)
        if self._emulation is None:
            args = [np.uintp(0) if x is None else x for x in args]
        kernel(tuple(grid), tuple(block), tuple(args), shared_mem=shared_mem)

    def _kernel(self, name: str) -> Any:
        with _lock:
            if name not in self._kernels:
                if self._compiled is None and self._emulation is not None:
                    self._compiled = EmulatedModule(self._code, options=self._options, emulation=self._emulation)
                elif self._compiled is None:
                    self._compiled = self._xp.RawModule(code=self._code, options=("--std=c++17", *self._options))
                self._kernels[name] = self._get(name)
            return self._kernels[name]

    def _get(self, name: str) -> Any:
        try:
            kernel = self._compiled.get_function(name)  # CuPy compiles only here
            kernel.max_dynamic_shared_size_bytes  # noqa: B018  (or only here)
            return kernel
        except Exception as error:
            log = error.get_message() if hasattr(error, "get_message") else str(error)
            raise RuntimeError(f"the kernel {name} does not compile:\n{log}") from error


def _allow_shared(kernel: Any, name: str, size: int) -> None:
    """More than 48 kB of shared memory has to be asked for, and not every GPU has it."""
    try:
        kernel.max_dynamic_shared_size_bytes = size
    except Exception as error:
        raise UserError(f"{name} needs {size} bytes of shared memory a block; this GPU has less") from error


def module(
    file: str, defines: Mapping[str, Any], xp: ModuleType, emulation: Emulation | None, *, code: str | None = None
) -> Module:
    """The compiled form of a .cu file of this package, shared by everyone who asks for the same.

    Args:
        defines: preprocessor definitions, such as {"HEAD_DIM": 64}.
        xp, emulation: CuPy and None, or NumPy and how to emulate.
        code: another source in the file's place (for tests that plant faults).
    Raises:
        UserError: NumPy arrays without emulation, or CuPy arrays with it.
    """
    if (emulation is None) == (xp is np):
        raise UserError(
            "CUDA kernels take CuPy arrays; NumPy arrays run on the CPU emulator, with emulate=True"
            if xp is np
            else "the emulator takes NumPy arrays, not CuPy's; leave emulate off on a GPU"
        )
    device = None if xp is np else xp.cuda.Device().id
    key = (file, code, tuple(defines.items()), device, emulation)
    found = _modules.get(key)
    if found is not None:
        return found
    with _lock:
        if key not in _modules:
            _modules[key] = Module(read_source(file) if code is None else code, defines, xp, emulation)
        return _modules[key]


def struct(**fields: np.generic) -> np.ndarray:
    """A C struct to be passed by value: its fields in order, aligned as C aligns them."""
    dtype = np.dtype([(name, value.dtype) for name, value in fields.items()], align=True)
    return np.array([tuple(fields.values())], dtype=dtype)


def check_array(
    name: str, x: Array, xp: ModuleType, dtype: Any, shape: tuple[int, ...], *, align: int = 1, contiguous: bool = False
) -> None:
    """Refuse an array that a kernel would misread.

    Args:
        align: how many elements a vector load takes: the start and every stride must be a multiple of it.
        contiguous: the whole array must be, not just its last axis.
    Raises:
        TypeError, ValueError: it is of another dtype or shape, strided in its last axis, misaligned, or on another GPU.
    """
    if x.dtype is not dtype and x.dtype != dtype:
        raise TypeError(f"{name} is {x.dtype}, but this kernel takes {np.dtype(dtype)}")
    if x.shape != shape:
        raise ValueError(f"{name} has shape {x.shape}, expected {shape}")
    if xp is not np and x.device != xp.cuda.Device():
        raise ValueError(f"{name} is on {x.device}, but the current device is {xp.cuda.Device()}")
    if contiguous and not x.flags.c_contiguous:
        raise ValueError(f"{name} must be contiguous")
    if x.size == 0:
        return  # nothing will be read, and NumPy gives it strides of 0
    if x.shape and x.shape[-1] > 1 and x.strides[-1] != x.itemsize:
        raise ValueError(f"the last axis of {name} must be contiguous, but its stride is {x.strides[-1]} bytes")
    start = x.ctypes.data if xp is np else x.data.ptr
    step, leading = align * x.itemsize, zip(x.shape[:-1], x.strides[:-1], strict=True)
    if start % step or any(stride % step and size > 1 for size, stride in leading):
        raise ValueError(f"{name} must be aligned to {step} bytes in its start and strides (it has {x.strides})")
