"""CUDA kernels on a CPU: the same .cu source, compiled with g++ or clang++, on NumPy arrays.

`EmulatedModule` looks like `cupy.RawModule`: `get_function(name)(grid, block, args, shared_mem=…)`. Each CUDA thread is
a fiber (see fibers.h), and the caller chooses in which order they run: a kernel that is right gives the same result in
every order. Nothing here is fast; it is for learning, for debugging with an ordinary debugger, and for tests.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from minigpt.core.errors import UserError
from minigpt.kernels.emulator.libraries import compiled_folder, is_whole, keep
from minigpt.kernels.source import KERNEL

ORDERS = ("ascending", "descending", "ascending-ahead", "descending-ahead", "random:0")
SANITIZERS = {"address": ("address", "undefined"), "thread": ("thread",)}
_RUNTIMES = {"address": "libasan", "thread": "libtsan"}  # which have to be loaded before Python
SHARED_LIMIT = 227 * 1024  # bytes of shared memory that a block can have on any GPU so far
_HEADERS = ("fibers.h", "cuda_on_cpu.h", "ptx_on_cpu.h", "trace_on_cpu.h")


@dataclass(frozen=True)
class Emulation:
    """How kernels run on the CPU.

    Attributes:
        order: which thread goes first: "ascending" or "descending" numbers, the same with "-ahead" (one warp runs as
            far as it can before the others move, so that a missing barrier shows), or "random:SEED". Blocks likewise.
        sanitizer: "address" (with undefined behaviour) or "thread"; the process must have been started with
            `sanitizer_environment`. None compiles without.
        debug: compile without optimisation and with what a debugger needs.
        trace: a `minigpt.lab.trace.Trace`, whose `watched` kernels tell it every access to memory.
    """

    order: str = "ascending"
    sanitizer: str | None = None
    debug: bool = False
    trace: Any = None

    def __post_init__(self) -> None:
        kind, _, seed = self.order.partition(":")
        if self.order not in ORDERS and not (kind == "random" and seed.isdecimal()):
            raise UserError(f"unknown thread order {self.order!r}: choose one of {', '.join(ORDERS)} (or another seed)")
        if self.sanitizer is not None and self.sanitizer not in SANITIZERS:
            raise UserError(f"unknown sanitizer {self.sanitizer!r}: choose one of {', '.join(SANITIZERS)}")

    @property
    def order_number(self) -> int:
        """The order as run_block in fibers.h counts them."""
        return ORDERS.index(self.order) if self.order in ORDERS[:4] else 4 + int(self.order.partition(":")[2]) % 2**30


def compiler_problem() -> str | None:
    """Say in one sentence why kernels cannot be emulated here, or return None if they can."""
    if _find_compiler():
        return None
    chosen = os.environ.get("CXX")
    found = f"the compiler that CXX names, {chosen}, is not there" if chosen else "neither g++ nor clang++ is installed"
    return f"the emulator compiles kernels with a C++ compiler, and {found}; on Debian or Ubuntu: apt install g++"


def _find_compiler() -> str | None:
    """$CXX if it is set, else g++, else clang++."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    return next((path for path in map(shutil.which, names) if path), None)


def compiler() -> str:
    """The path of the C++ compiler that kernels are emulated with.

    Raises:
        UserError: there is none.
    """
    path = _find_compiler()
    if path is None:
        raise UserError(compiler_problem())
    return path


def sanitizer_environment(sanitizer: str) -> dict[str, str]:
    """Environment variables for a process in which kernels run under a sanitizer: its runtime has to be there first."""
    library = f"-print-file-name={_RUNTIMES[sanitizer]}.so"
    path = subprocess.run([compiler(), library], capture_output=True, text=True, check=True)
    return {
        "LD_PRELOAD": path.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",  # Python itself never frees everything
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "TSAN_OPTIONS": "report_signal_unsafe=0:halt_on_error=1",
    }


class DoesNotCompile(UserError, RuntimeError):
    """The compiler refuses a kernel, or does not work; it says why."""


class EmulatedModule:
    """A kernel source, compiled for the CPU; the part of `cupy.RawModule` that minigpt uses.

    Args:
        code: the source, without includes of its own (see `minigpt.kernels.source`).
        options: compiler options, such as "-DHEAD_DIM=64".
        emulation: how it runs.
    Raises:
        UserError: there is no compiler.
        DoesNotCompile: so it is; the message is the compiler's.
    """

    def __init__(self, code: str, *, options: Sequence[str] = (), emulation: Emulation = Emulation()):
        self._code, self._emulation = code, emulation
        self._library = ctypes.CDLL(str(_build(code, tuple(options), emulation)))

    def get_function(self, name: str) -> Any:
        kernel, trace = EmulatedKernel(self._library, name, self._emulation), self._emulation.trace
        return kernel if trace is None else trace.watched(kernel, self._library, self._code)


class EmulatedKernel:
    """One kernel; call it as CuPy's: `kernel(grid, block, args, shared_mem=bytes)`.

    Arguments are NumPy arrays where the kernel takes pointers (None for a null pointer), NumPy scalars of exactly the
    parameter's type, and arrays of one structured element for structs. Unlike on a GPU, all of that is checked.
    """

    def __init__(self, library: ctypes.CDLL, name: str, emulation: Emulation):
        self.name, self.max_dynamic_shared_size_bytes = name, 48 * 1024
        self._order = emulation.order_number
        self._launch, self._error = getattr(library, f"{name}__launch"), library.coc_error
        self._error.restype = ctypes.c_char_p
        signature = getattr(library, f"{name}__signature")
        signature.restype = ctypes.c_char_p
        self.signature: list[str] = signature().decode().split()

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], *, shared_mem: int = 0
    ) -> None:
        if len(args) != len(self.signature):
            raise TypeError(f"{self.name} takes {len(self.signature)} arguments, got {len(args)}")
        if not 0 <= shared_mem <= min(self.max_dynamic_shared_size_bytes, SHARED_LIMIT):
            raise ValueError(
                f"{self.name} asks for {shared_mem} bytes of shared memory; max_dynamic_shared_size_bytes is "
                f"{self.max_dynamic_shared_size_bytes}, and no GPU has more than {SHARED_LIMIT}"
            )
        cells = [self._cell(i, a, kind) for i, (a, kind) in enumerate(zip(args, self.signature, strict=True))]
        pointers = (ctypes.c_void_p * len(cells))(*map(ctypes.addressof, cells))
        grid3, block3 = three(grid), three(block)
        if not 0 < block3[0] * block3[1] * block3[2] <= 1024 or 0 in grid3 or max(grid3[1:]) > 65535:
            raise ValueError(f"{self.name}: no GPU takes a grid of {tuple(grid)} blocks of {tuple(block)} threads")
        numbers = ctypes.c_uint * 3
        size, order = ctypes.c_size_t(shared_mem), ctypes.c_int(self._order)
        if self._launch(numbers(*grid3), numbers(*block3), size, order, pointers):
            raise RuntimeError(f"{self.name}: {self._error().decode()}")

    def _cell(self, i: int, value: Any, kind: str) -> Any:
        """The memory that argument i is read from: a pointer, or the value's own bytes."""
        access, star, element = kind.partition("*")
        if star:
            if value is not None:
                self._check_array(i, value, element, writes=access == "w")
            return ctypes.c_void_p(None if value is None else value.ctypes.data)
        if kind[0] == "V":
            fits = isinstance(value, np.ndarray) and value.dtype.fields is not None and value.nbytes == int(kind[1:])
        else:
            fits = isinstance(value, np.generic) and value.dtype == np.dtype(kind)
        if not fits:
            got = f"{value.dtype} of {value.nbytes} bytes" if hasattr(value, "nbytes") else type(value).__name__
            raise TypeError(f"{self.name}: argument {i} must be {_spelled(kind)}, got {got}")
        return ctypes.create_string_buffer(value.tobytes(), value.nbytes)

    def _check_array(self, i: int, value: Any, element: str, *, writes: bool) -> None:
        if not isinstance(value, np.ndarray):
            raise TypeError(f"{self.name}: argument {i} must be an array, got {type(value).__name__}")
        dtype = np.dtype(element) if element else value.dtype
        raw = element in ("u1", "u2")  # the bytes of a bool, the bits of a 16-bit float
        if value.dtype != dtype and not (raw and value.dtype.itemsize == dtype.itemsize):
            raise TypeError(f"{self.name}: argument {i} must be an array of {dtype}, got {value.dtype}")
        if writes and not value.flags.writeable:
            raise ValueError(f"{self.name}: argument {i} is written to, but the array is read-only")


def three(size: Sequence[int]) -> list[int]:
    """The extent of a grid or a block along all three axes."""
    return [int(n) for n in (*size, 1, 1)[:3]]


def _spelled(kind: str) -> str:
    if kind[0] == "V":
        return f"a struct of {kind[1:]} bytes (an array of one structured element)"
    return f"a numpy.{np.dtype(kind)}"


@functools.cache
def _header_texts() -> dict[str, str]:
    folder = resources.files("minigpt.kernels.emulator")
    return {name: (folder / name).read_text(encoding="utf-8") for name in _HEADERS}


def _build(code: str, options: tuple[str, ...], emulation: Emulation) -> Path:
    """Compile a source to a library in the cache folder, if it is not there; its name is a hash of everything."""
    exports = "".join(f"CUDA_ON_CPU_EXPORT({name})\n" for name in KERNEL.findall(code))
    headers = '#include "ptx_on_cpu.h"\n' + ('#include "trace_on_cpu.h"\n' if emulation.trace is not None else "")
    source = headers + code + exports
    flags = ["-std=c++17", "-fPIC", "-shared", "-fvisibility=hidden", "-w", *options]
    # with a sanitizer, -O1 compiles slowly
    flags += ["-O0", "-g"] if emulation.debug or emulation.sanitizer else ["-O1"]
    if emulation.sanitizer:
        if _RUNTIMES[emulation.sanitizer] not in os.environ.get("LD_PRELOAD", ""):
            raise UserError(
                f"the {emulation.sanitizer} sanitizer's runtime must be loaded before Python: start the process with "
                f"the variables of minigpt.kernels.emulator.sanitizer_environment({emulation.sanitizer!r})"
            )
        flags += [f"-fsanitize={kind}" for kind in SANITIZERS[emulation.sanitizer]]
        flags += ["-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
    if emulation.trace is not None:
        flags += ["-DCOC_TRACE"]
    everything = [compiler(), platform.machine(), *flags, *_header_texts().values(), source]
    key = hashlib.sha256("\0".join(everything).encode()).hexdigest()[:24]
    library = compiled_folder() / f"{key}.so"
    if not is_whole(library):
        _compile(source, flags, library, instrument=emulation.trace is not None)
    return library


def _compile(source: str, flags: list[str], library: Path, *, instrument: bool) -> None:
    """Compile beside the library and rename, so that two processes may do it at once.

    Args:
        instrument: let the compiler announce every access, as for ThreadSanitizer; but link without its runtime.
    """
    headers = resources.files("minigpt.kernels.emulator")
    with resources.as_file(headers) as folder, tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        made = Path(scratch) / library.name
        compile_ = [compiler(), *flags, f"-I{folder}", "-x", "c++", "-"]
        if instrument:
            steps = [[*compile_, "-c", "-fsanitize=thread", "-o", f"{made}.o"]]
            steps += [[compiler(), "-shared", f"{made}.o", "-o", str(made)]]
        else:
            steps = [[*compile_, "-o", str(made)]]
        # In the kernels' folder, so that a debugger finds the files that the #line directives name; and without a
        # preloaded runtime: a sanitizer would watch the compiler, at twice its time.
        where = {"cwd": folder.parent, "env": {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}}
        for command in steps:
            done = subprocess.run(command, input=source, capture_output=True, text=True, **where)
            if done.returncode:
                raise DoesNotCompile(f"the kernel does not compile:\n{done.stderr.strip()}")
        keep(made, library)
