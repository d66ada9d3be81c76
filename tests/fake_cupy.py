"""A stand-in for CuPy on machines without a GPU: NumPy underneath, but as strict as CuPy about what mixes.

Arrays are of a class of their own in a module called `cupy`. Putting a plain NumPy array into one of the module's
functions or into arithmetic with such an array raises TypeError, as it does in CuPy; results are of that class again.
CUDA kernels run on the emulator. What it cannot show: a GPU's speed, memory, rounding or order of additions.
"""

from __future__ import annotations

import sys
import time
import types
from pathlib import Path

import numpy as np

from minigpt.core import backend
from minigpt.kernels.emulator import EmulatedModule

module = types.ModuleType("cupy")

# Read off CuPy 14.2: which of NumPy's functions it has not, and what its scatter takes. What has no loop for bfloat16
# there takes float32's, as in NumPy. tests/kernels/test_stand_in.py compares the names with an installed CuPy.
MISSING = set(Path(__file__).with_name("cupy_14_2.txt").read_text().split())
SCATTERED = ("int32", "float16", "float32", "float64", "uint32", "uint64")


class ndarray(np.ndarray):
    """A NumPy array that refuses to meet plain ones."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **keywords):
        for x in (*inputs, *(out or ())):
            refuse_plain(x)
        if ufunc is np.matmul:
            refuse_product(*inputs)
        plain = [plain_view(x) for x in inputs]
        if out is not None:
            keywords["out"] = tuple(plain_view(x) for x in out)
        result = getattr(ufunc, method)(*plain, **keywords)
        return out[0] if out is not None else wrapped(result)

    def __array_function__(self, function, types, arguments, keywords):
        raise TypeError(f"numpy.{function.__name__} was called on a CuPy array")

    @property
    def device(self):
        return Device()

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.ctypes.data)

    def get(self):
        return np.array(plain_view(self))

    def __setitem__(self, index, value):
        refuse_plain(value)
        for part in index if isinstance(index, tuple) else (index,):
            refuse_plain(part)
        super().__setitem__(index, value)


ndarray.__module__ = "cupy"


class Device:
    """The one GPU that there is not."""

    id = 0
    attributes = types.MappingProxyType({"L2CacheSize": 1 << 20})

    def __eq__(self, other):
        return isinstance(other, Device)


class Event:
    """A moment of the wall clock."""

    def record(self):
        self.time = time.perf_counter()

    def synchronize(self):
        pass


class RawModule:
    """Kernels, on the emulator: arrays must be of this module, null pointers are numbers, as they are in CuPy."""

    def __init__(self, code, options=()):
        self.code, self.options = code, [option for option in options if option.startswith("-D")]
        self.compiled = None

    def get_function(self, name):
        self.compiled = self.compiled or EmulatedModule(self.code, options=self.options)
        kernel = self.compiled.get_function(name)
        return _RawKernel(kernel)


class _RawKernel:
    def __init__(self, kernel):
        self.kernel, self.max_dynamic_shared_size_bytes = kernel, 48 * 1024

    def __call__(self, grid, block, args, *, shared_mem=0):
        for x in args:
            check_argument(x)
        self.kernel.max_dynamic_shared_size_bytes = self.max_dynamic_shared_size_bytes
        args = [
            None if "*" in kind and isinstance(x, np.uintp) else x
            for x, kind in zip(args, self.kernel.signature, strict=True)
        ]
        self.kernel(grid, block, args, shared_mem=shared_mem)


def refuse_plain(x, own=ndarray):
    if isinstance(x, np.ndarray) and not isinstance(x, own):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: NumPy and CuPy arrays are mixed")


def refuse_missing(name):
    if name in MISSING:
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")


def refuse_product(a, b):
    """Of 16 bits only matrices: with more axes bfloat16 is multiplied as if it were an integer."""
    if max(a.ndim, b.ndim) > 2 and "bfloat16" in (a.dtype.name, b.dtype.name):
        raise TypeError("CuPy has no batched product of bfloat16")


def refuse_scatter(a, value):
    if a.dtype.name not in SCATTERED:
        raise TypeError(f"cupy.add.at only supports {', '.join(SCATTERED)} as data type")


def check_argument(x, own=ndarray):
    """What a kernel may be handed."""
    assert isinstance(x, (own, np.generic)) or (isinstance(x, np.ndarray) and x.dtype.fields), type(x)


def plain_view(x):
    if isinstance(x, ndarray):
        return x.view(np.ndarray)
    return type(x)(plain_view(y) for y in x) if isinstance(x, (list, tuple)) else x


def wrapped(x):
    if isinstance(x, tuple):
        return tuple(wrapped(y) for y in x)
    return np.asarray(x).view(ndarray) if isinstance(x, (np.ndarray, np.generic)) else x


def _strict(function):
    def call(*arguments, **keywords):
        for x in (*arguments, *keywords.values()):
            refuse_plain(x)
            if isinstance(x, (list, tuple)):
                for y in x:
                    refuse_plain(y)
        out = keywords.pop("out", None)
        result = wrapped(function(*map(plain_view, arguments), **{k: plain_view(v) for k, v in keywords.items()}))
        if out is None:
            return result
        out[...] = result
        return out

    return call


def _scatter(a, i, b):
    refuse_scatter(a, b)
    np.add.at(plain_view(a), plain_view(i), plain_view(b))


def _product(a, b):
    refuse_product(a, b)
    return _strict(np.matmul)(a, b)


def _get(name):
    value = getattr(np, name)
    refuse_missing(name)
    if isinstance(value, type) or not callable(value):
        return value  # dtypes and constants
    if name == "add":
        call = _strict(value)
        call.at = _scatter
        call.reduceat = _strict(np.add.reduceat)
        return call
    return _strict(value)


module.ndarray = ndarray
module.__version__ = "14.0 (a stand-in)"
module.__getattr__ = _get
module.is_available = lambda: True
module.asarray = lambda x, dtype=None: np.asarray(plain_view(x), dtype=dtype).view(ndarray)  # the way onto the device
module.RawModule = RawModule
module.matmul = _product
module.get_default_memory_pool = lambda: types.SimpleNamespace(total_bytes=lambda: 0)
module.cuda = types.SimpleNamespace(
    Device=Device,
    Event=Event,
    get_elapsed_time=lambda start, end: 1e3 * (end.time - start.time),
    get_current_stream=lambda: types.SimpleNamespace(synchronize=lambda: None),
    runtime=types.SimpleNamespace(getDeviceProperties=lambda i: {"name": b"no GPU at all"}),
)


def install(monkeypatch, *, tried: bool = False) -> types.ModuleType:
    """Make `import cupy` give the stand-in for the length of a test.

    Args:
        tried: whether choosing it compiles a kernel first, as it does with CuPy. That needs a C++ compiler.
    """
    if not tried:
        monkeypatch.setattr(backend, "_trial", lambda cupy: None)
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module
