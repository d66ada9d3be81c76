"""A stand-in for CuPy that computes nothing and counts: launches, bytes to and from memory, waits for the device.

Arrays are real ones that nobody fills, so a step of a large model has its true shapes, strides and views and costs
little: untouched memory is not there. Each array operation is one launch that reads its inputs and writes its result
once; a kernel of ours reads what it is handed as const and writes the rest. Indexing with integers moves the rows that
are taken. Whatever becomes a number of Python waits for the device.
"""

from __future__ import annotations

import math
import re
import types
from collections import Counter

import numpy as np

from tests import fake_cupy

WAITS = ("__float__", "__int__", "__bool__", "__index__", "item", "tolist", "get")
READ_TOO = {"adamw": ("p", "m", "v"), "add_bias": ("y",)}  # what a kernel writes to and reads as well


class Counts:
    """What was counted since `clear`."""

    def __init__(self):
        self.clear()

    def clear(self):
        self.launches, self.bytes, self.waits = Counter(), Counter(), Counter()

    def launch(self, name, *moved):
        self.launches[name] += 1
        self.bytes[name] += sum(x.nbytes if isinstance(x, np.ndarray) else x for x in moved)


COUNTS = Counts()


def _used(x):
    """The bytes of an array without what is only repeated by strides of 0."""
    return x.itemsize * math.prod(n for n, stride in zip(x.shape, x.strides, strict=True) if stride or n == 0)


class ndarray(np.ndarray):
    """An array that nobody fills."""

    device = property(lambda self: fake_cupy.Device())
    data = property(lambda self: types.SimpleNamespace(ptr=self.ctypes.data))

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, axis=0, dtype=None, keepdims=False, **_):
        for x in (*inputs, *(out or ())):
            fake_cupy.refuse_plain(x, ndarray)
        arrays = [x for x in inputs if isinstance(x, np.ndarray)]
        if method == "reduce":
            (x,) = arrays
            axes = {a % x.ndim for a in (range(x.ndim) if axis is None else np.atleast_1d(axis))} if x.ndim else set()
            shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes)
            small = ufunc.reduce(np.ones((1,), x.dtype), dtype=dtype)
        elif ufunc is np.matmul:
            fake_cupy.refuse_product(*arrays)
            shape = (*np.broadcast_shapes(*(x.shape[:-2] for x in arrays)), arrays[0].shape[-2], arrays[1].shape[-1])
            small = np.ones((1, 1), np.promote_types(*(x.dtype for x in arrays)))  # NumPy's is float32 for 16 bits
        else:
            shape = np.broadcast_shapes(*(x.shape for x in arrays))
            small = ufunc(*(np.ones(1, x.dtype) if isinstance(x, np.ndarray) else x for x in inputs))
        result = out[0] if out is not None else empty(shape, small.dtype)
        COUNTS.launch(ufunc.__name__, *map(_used, arrays), _used(result))
        return result

    def __array_function__(self, function, types, arguments, keywords):
        raise TypeError(f"numpy.{function.__name__} was called on a CuPy array")

    def astype(self, dtype, order="K", copy=True):
        return self if not copy and self.dtype == dtype else _made("astype", self.shape, dtype, self)

    def copy(self, order="C"):
        return _made("copy", self.shape, self.dtype, self)

    def reshape(self, *shape, **_):
        plain = self.view(np.ndarray)
        result = plain.reshape(*shape)
        if not np.may_share_memory(result, plain):
            COUNTS.launch("copy", self, self)
        return result.view(ndarray)

    def argmax(self, axis=None):
        return _made("argmax", np.delete(self.shape, axis), np.int64, self)

    def mean(self, axis=None, keepdims=False):
        return np.add.reduce(self, axis=axis, keepdims=keepdims)

    def __getitem__(self, index):
        parts = index if isinstance(index, tuple) else (index,)
        if not any(isinstance(part, np.ndarray) for part in parts):
            return super().__getitem__(index)
        plain = tuple(fake_cupy.plain_view(part) for part in parts)
        shape = np.broadcast_to(np.zeros((), bool), self.shape)[plain].shape
        return _made("take", shape, self.dtype, math.prod(shape) * self.itemsize, *parts)

    def __setitem__(self, index, value):
        fake_cupy.refuse_plain(value, ndarray)
        place = super().__getitem__(index)
        moved = _used(value) if isinstance(value, np.ndarray) else 0
        if not (isinstance(value, np.ndarray) and place.ctypes.data == value.ctypes.data):  # x[i] += y, done already
            COUNTS.launch("copy" if moved else "fill", moved, place)


ndarray.__module__ = "cupy"


def _wait(name):
    def wait(self, *arguments):
        COUNTS.waits[name] += 1
        zeros = np.zeros(self.shape, self.dtype)
        return zeros if name == "get" else getattr(zeros, name)(*arguments)

    return wait


for _name in WAITS:
    setattr(ndarray, _name, _wait(_name))


def empty(shape, dtype=np.float64):
    make = np.zeros if np.dtype(dtype).kind in "biu" else np.empty  # integers index, others are never looked at
    return make(shape, dtype).view(ndarray)


def _made(name, shape, dtype, *moved):
    """The result of an operation that reads what is given."""
    y = empty(tuple(shape), dtype)
    COUNTS.launch(name, *moved, y)
    return y


def asarray(x, dtype=None):
    """The way onto the device; what is there already stays."""
    if isinstance(x, ndarray):
        return x.astype(dtype, copy=False) if dtype else x
    return np.asarray(x, dtype).view(ndarray)


class _RawKernel:
    def __init__(self, name, code):
        self.name, self.max_dynamic_shared_size_bytes = name, 48 * 1024
        inside = re.search(rf"\b{name}\(([^)]*)\)", code[code.index("__global__") :])[1]
        self.parameters = [part.strip() for part in inside.split(",")]

    def __call__(self, grid, block, args, *, shared_mem=0):
        moved = 0
        for x, parameter in zip(args, self.parameters, strict=True):
            fake_cupy.check_argument(x, ndarray)
            if isinstance(x, ndarray):
                word = re.search(r"\w+$", parameter)[0]
                moved += _used(x) * (2 if word in READ_TOO.get(self.name, ()) else 1)
        COUNTS.launch(self.name, moved)


class RawModule:
    def __init__(self, code, options=()):
        self.code = code

    def get_function(self, name):
        return _RawKernel(name, self.code)


module = types.ModuleType("cupy")


def _get(name):
    value = getattr(np, name)
    fake_cupy.refuse_missing(name)
    if isinstance(value, type | np.ufunc) or not callable(value):
        return value
    raise NotImplementedError(f"counted_cupy has no {name}")


vars(module).update(
    vars(fake_cupy.module)
    | {
        "__getattr__": _get,
        "ndarray": ndarray,
        "RawModule": RawModule,
        "matmul": np.matmul,
        "asarray": asarray,
        "empty": empty,
        "zeros": lambda shape, dtype=np.float64: _made("fill", shape if isinstance(shape, tuple) else (shape,), dtype),
        "empty_like": lambda x: empty(x.shape, x.dtype),
        "zeros_like": lambda x: _made("fill", x.shape, x.dtype),
        "ascontiguousarray": lambda x: x if x.flags.c_contiguous else x.copy(),
        "arange": lambda n, dtype=np.int64: _made("arange", (n,), dtype),
        "argsort": lambda x, kind=None: _made("argsort", x.shape, np.int64, x, x, x),
        "where": lambda c, a, b: _made(
            "where", c.shape, np.result_type(a, b), c, *(v for v in (a, b) if isinstance(v, np.ndarray))
        ),
        # CuPy multiplies into an array of that size, and sums that
        "broadcast_to": lambda x, shape: np.broadcast_to(x.view(np.ndarray), shape).view(ndarray),
        "vdot": lambda a, b: np.add.reduce(a * b),
    }
)


def install(monkeypatch):
    """Make `import cupy` give this one for the length of a test, and start counting."""
    monkeypatch.setattr(fake_cupy, "module", module)
    fake_cupy.install(monkeypatch)
    monkeypatch.setattr("minigpt.kernels.launch._modules", {})
    COUNTS.clear()
    return module
