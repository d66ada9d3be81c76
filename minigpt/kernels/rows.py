"""How rows of numbers are shared out among threads by the fused kernels: 16 bytes at a time, in a fixed order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minigpt.core.backend import Array, array_module
from minigpt.ops._common import rows

ELEMENTS = {
    "float64": "ELEMENT_FLOAT64",
    "float32": "ELEMENT_FLOAT32",
    "bfloat16": "ELEMENT_BFLOAT16",
    "float16": "ELEMENT_FLOAT16",
}
THREADS = 256  # in a block of kernels that own columns
WIDEST = 512  # threads in a block of the norms, which own rows
_PARTS = 512  # into how many parts rows are cut for a sum, at most
_ENOUGH = 1 << 17  # threads that keep a large card's memory busy


class Cut(NamedTuple):
    """A launch of a kernel that owns columns: blocks across them, parts of the rows, threads, numbers a load."""

    columns: int
    parts: int
    threads: int
    pack: int

    @property
    def grid(self) -> tuple[int, int]:
        return self.columns, self.parts


def pack_of(width: int, *arrays: Array | None) -> int:
    """How many neighbours in memory a thread loads at a time: 16 bytes, or 1 where rows are not cut or aligned so."""
    size = next(x.itemsize for x in arrays if x is not None)
    if width * size % 16:
        return 1
    return 1 if any(address(x) % 16 for x in arrays if x is not None) else 16 // size


def address(x: Array) -> int:
    """Where an array begins, in the memory of its device."""
    return x.ctypes.data if array_module(x) is np else x.data.ptr


def cut(rows: int, width: int, pack: int, *, summed: bool) -> Cut:
    """Share out (rows, width).

    Args:
        summed: whether every part leaves a sum that somebody has to add up; else four rows are a part.
    """
    packs = width // pack
    threads = min(THREADS, -(-packs // 32) * 32)
    columns = -(-packs // threads)
    parts = min(_PARTS, rows // 16, _ENOUGH // (threads * columns)) if summed else min(-(-rows // 4), 65535)
    return Cut(columns, max(1, parts), threads, pack)


def cut_row(width: int, pack: int) -> tuple[int, int]:
    """Threads of a block that has a row, a multiple of 32, and how many packs each of them takes (a power of two)."""
    packs = width // pack
    threads = min(WIDEST, -(-packs // 32) * 32)
    each = -(-packs // threads)
    return threads, 1 << (each - 1).bit_length()


def real_type(x: Array) -> type:
    """What a kernel computes in for x's dtype, and what gains, biases and parameter gradients are."""
    return np.float64 if x.dtype == np.float64 else np.float32


def element_define(x: Array) -> str:
    """The preprocessor definition that compiles a kernel for x's dtype (see element.cuh).

    Raises:
        TypeError: there is none.
    """
    if x.dtype.name not in ELEMENTS:
        raise TypeError(f"the fused kernels take {', '.join(ELEMENTS)}, not {x.dtype}")
    return ELEMENTS[x.dtype.name]


def as_matrix(x: Array) -> Array:
    """(…, C) as contiguous rows (N, C)."""
    return array_module(x).ascontiguousarray(rows(x))


def as_real(x: Array, real: type) -> Array:
    return array_module(x).ascontiguousarray(x.astype(real, copy=False))
