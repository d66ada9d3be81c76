"""The header of a GGUF file: its metadata, and where each tensor lies.

"GGUF", the version (uint32), how many tensors and how many pairs of metadata (uint64 each). A pair is a key, a type and
a value; a string is its length (uint64) and its bytes; an array is a type, a length and its items. A tensor is a name,
its sizes from the fastest axis on, its type and an offset into the data, which begin at the next multiple of
`general.alignment`. Everything is little-endian. Source: the specification in ggml's docs/gguf.md.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.interop.weight_files import mapped

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32  # bytes, where the metadata say nothing
STRING, ARRAY = 8, 9
# Types of values, as NumPy calls them.
NUMBERS = dict(enumerate(("<u1", "<i1", "<u2", "<i2", "<u4", "<i4", "<f4", "?"))) | {10: "<u8", 11: "<i8", 12: "<f8"}
MOST_AXES = 4


class TensorInfo(NamedTuple):
    """A tensor as the header describes it: its shape in our order, ggml's number of its type, and where it begins."""

    shape: tuple[int, ...]
    kind: int
    offset: int  # in the file


class Header(NamedTuple):
    """What stands before the data, and the whole file, memory-mapped."""

    path: Path
    metadata: dict[str, Any]  # numbers, strings, and arrays as lists
    tensors: dict[str, TensorInfo]
    data: np.ndarray  # bytes


class _Cursor:
    """Reads one thing after the other; raises ValueError at the end of the file."""

    def __init__(self, data: np.ndarray):
        self.data, self.at = memoryview(data), 0

    def take(self, size: int) -> memoryview:
        if size > len(self.data) - self.at:
            raise ValueError("it ends inside its header")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def string(self) -> str:
        return bytes(self.take(self.number("<Q"))).decode("utf-8")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == STRING:
            return self.string()
        if kind == ARRAY and depth < 2:
            kind, count = self.number("<I"), self.number("<Q")
            if kind in NUMBERS:
                return np.frombuffer(self.take(count * np.dtype(NUMBERS[kind]).itemsize), NUMBERS[kind]).tolist()
            if count > len(self.data) - self.at:  # an item has at least one byte
                raise ValueError("it ends inside an array")
            return [self.value(kind, depth + 1) for _ in range(count)]
        if kind not in NUMBERS:
            raise ValueError(f"there is no type of value {kind}")
        return np.frombuffer(self.take(np.dtype(NUMBERS[kind]).itemsize), NUMBERS[kind]).tolist()[0]

    def tensor(self) -> tuple[str, TensorInfo]:
        name, axes = self.string(), self.number("<I")
        if not 1 <= axes <= MOST_AXES:
            raise ValueError(f"its tensor {name} has {axes} axes")
        sizes = tuple(self.number("<Q") for _ in range(axes))
        return name, TensorInfo(sizes[::-1], self.number("<I"), self.number("<Q"))


def is_gguf(path: Path) -> bool:
    """Whether a file begins as one in this format does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_header(path: Path) -> Header:
    """Read a file's header.

    Raises:
        UserError: the file cannot be read, is damaged, or is in another version or byte order.
    """
    data = mapped(path)
    try:
        return _parse(path, data)
    except (ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise UserError(f"{path} is damaged, or no GGUF file that can be read: {error}") from None


def _parse(path: Path, data: np.ndarray) -> Header:
    cursor = _Cursor(data)
    if bytes(cursor.take(len(MAGIC))) != MAGIC:
        raise ValueError("it does not begin with GGUF")
    version = cursor.number("<I")
    if version not in VERSIONS:
        raise ValueError(f"it is in version {version} of the format or of the other byte order; read are {VERSIONS}")
    tensors, pairs = cursor.number("<Q"), cursor.number("<Q")
    metadata = {}
    for _ in range(pairs):
        key = cursor.string()
        metadata[key] = cursor.value(cursor.number("<I"))
    infos = dict(cursor.tensor() for _ in range(tensors))
    if len(infos) != tensors:
        raise ValueError("two of its tensors have the same name")
    step = metadata.get("general.alignment", ALIGNMENT)
    if type(step) is not int or step < 1:
        raise ValueError(f"its alignment is {step}")
    start = math.ceil(cursor.at / step) * step
    return Header(path, metadata, {n: t._replace(offset=start + t.offset) for n, t in infos.items()}, data)
