"""safetensors files as Hugging Face lays them out: one model.safetensors, or several with an index.

A file is a header length (8 bytes, little-endian), a JSON header that gives every tensor's dtype, shape and place, and
the tensors' bytes, row by row. Tensors are memory-mapped and copied block by block into where they belong, so a
checkpoint is never in memory twice. NumPy has no bfloat16; those are the upper halves of float32s.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.files import unreadable
from minigpt.core.limits import HEADER_BYTES
from minigpt.core.reading import parse_json
from minigpt.interop.keys import read_json

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_BLOCK = 1 << 20  # numbers decoded at a time


class StoredTensor(NamedTuple):
    """A tensor in a file: its name, dtype and shape as stored, and its bytes, memory-mapped.

    Attributes:
        unpack: turns rows of bytes into rows of floats, where a tensor is quantized.
    """

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    data: np.ndarray
    unpack: Callable[[np.ndarray], np.ndarray] | None = None

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """The first row's number and the values of a few rows at a time, as floats.

        Raises:
            UserError: the dtype is not a floating-point one that we read.
        """
        if self.unpack is not None:
            stored = self.data.reshape(*self.shape[:-1], -1)
        elif self.dtype in _FLOATS:
            stored = self.data.view(_FLOATS[self.dtype]).reshape(self.shape or (1,))
        else:
            raise UserError(f"{self.file}: {self.name} is stored as {self.dtype}; only {', '.join(_FLOATS)} are read")
        rows = max(1, _BLOCK // max(1, math.prod(self.shape[1:])))
        for start in range(0, len(stored), rows):
            block = stored[start : start + rows]
            if self.unpack is not None:
                block = self.unpack(block).reshape(len(block), *self.shape[1:])
            elif self.dtype == "BF16":
                block = (block.astype(np.uint32) << 16).view(np.float32)
            yield start, block

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise UserError if the shape is another one."""
        if self.shape != shape:
            raise UserError(f"{self.file}: {self.name} has shape {self.shape}, but the model needs {shape}")

    def copy_into(self, target: np.ndarray) -> None:
        """Fill `target`, a view of the parameters with as many numbers in the same order.

        Raises:
            UserError: a value is not finite in the target's precision.
        """
        target = np.atleast_1d(target)
        for start, block in self._replace(shape=target.shape).blocks():
            with np.errstate(over="ignore"):
                block = block.astype(target.dtype, copy=False)
            if not np.isfinite(block).all():
                raise UserError(f"{self.file}: {self.name} has values that are not finite in {target.dtype}")
            target[start : start + len(block)] = block

    def equals(self, other: StoredTensor) -> bool:
        """Whether the values are the same, whatever they are stored as."""
        if self.shape != other.shape:
            return False
        pairs = zip(self.blocks(), other.blocks(), strict=True)
        return all(np.array_equal(a, b) for (_, a), (_, b) in pairs)


def open_folder(folder: Path) -> dict[str, StoredTensor]:
    """The tensors of a checkpoint folder, single or sharded, by their names.

    Raises:
        UserError: there are none, or a file is missing or damaged.
    """
    if (folder / SINGLE).exists():
        return open_file(folder / SINGLE)
    if (folder / INDEX).exists():
        return _open_shards(folder)
    if pickles := sorted(path.name for kind in ("*.bin", "*.pt", "*.pth") for path in folder.glob(kind)):
        raise UserError(
            f"{folder} has its weights in {pickles[0]}, a pickle, which can run code and is never opened here; where "
            "transformers and torch are installed and you trust the file, write safetensors with python -c "
            f"'from transformers import AutoModel as M; M.from_pretrained({json.dumps(str(folder))})"
            '.save_pretrained("new")\' '
            "(with AutoModelForCausalLM, AutoModelForMaskedLM or AutoModelForSeq2SeqLM for a model that predicts)"
        )
    raise UserError(f"{folder} has no weights: neither {SINGLE} nor {INDEX} is there")


def read_index(folder: Path) -> dict[str, str]:
    """The name of the safetensors file, in the folder itself, that each tensor is in.

    Raises:
        UserError: the index is damaged, or names anything else.
    """
    index = folder / INDEX
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(map(_is_plain_name, places.values())):
        raise UserError(f"{index} is damaged: its weight_map should give the file of every tensor")
    return places


def _open_shards(folder: Path) -> dict[str, StoredTensor]:
    places, shards = read_index(folder), {}
    for shard in dict.fromkeys(places.values()):
        if not (folder / shard).exists():
            raise UserError(f"{folder / shard} is missing, which {INDEX} names")
        shards[shard] = open_file(folder / shard)
    for name, shard in places.items():
        if name not in shards[shard]:
            raise UserError(f"{folder / shard} lacks the tensor {name}, which {INDEX} says is there")
    for shard, tensors in shards.items():
        for name in tensors:
            if places.get(name) != shard:
                raise UserError(f"{folder / shard} has the tensor {name}, which {INDEX} does not place there")
    return {name: shards[shard][name] for name, shard in places.items()}


def _is_plain_name(name: object) -> bool:
    plain = isinstance(name, str) and name.endswith(".safetensors") and Path(name).name == name
    return plain and len(str(name).encode("utf-8", "replace")) < 256 and "\0" not in str(name)  # as on a disk


def open_file(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one safetensors file, memory-mapped.

    Raises:
        UserError: the file cannot be read, is truncated or damaged; the message names the tensor where there is one.
    """
    data = mapped(path)
    if len(data) < 8:
        raise UserError(f"{path} is truncated: it has {len(data)} bytes")
    (length,) = struct.unpack("<Q", data[:8].tobytes())
    if length > min(len(data) - 8, HEADER_BYTES):
        raise UserError(f"{path} is truncated, or not a safetensors file: a header of {length} bytes is not there")
    header = _header(path, data[8 : 8 + length].tobytes())
    return _cut(path, header, data[8 + length :])


def mapped(path: Path) -> np.ndarray:
    """The bytes of a file, memory-mapped.

    Raises:
        UserError: it is empty, or cannot be read.
    """
    try:
        if not path.stat().st_size:
            raise UserError(f"{path} is empty")
        return np.memmap(path, dtype=np.uint8, mode="r")
    except OSError as error:
        raise unreadable(path, error) from None


def _header(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = parse_json(text.decode("utf-8"))
        header.pop("__metadata__", None)
        for entry in header.values():
            start, stop = entry["data_offsets"]
            numbers = [start, stop, *entry["shape"]]
            if not all(type(n) is int and 0 <= n < 2**63 for n in numbers) or not isinstance(entry["dtype"], str):
                raise ValueError("an entry has the wrong form")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged, or not a safetensors file: its header cannot be read ({error})") from None
    return header


def _cut(path: Path, header: dict[str, Any], data: np.ndarray) -> dict[str, StoredTensor]:
    """Cut the bytes after the header into tensors, which must follow each other without a gap."""
    tensors, position = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = entry["data_offsets"]
        dtype, shape = entry["dtype"], tuple(entry["shape"])
        size = math.prod(shape) * _BYTES.get(dtype, 0)
        if start != position or stop < start or (dtype in _BYTES and stop - start != size):
            raise UserError(f"{path} is damaged: the place of {name} does not fit its shape or the tensor before it")
        if stop > len(data):
            raise UserError(f"{path} is truncated: {name} should end {stop - len(data)} bytes after the end")
        tensors[name] = StoredTensor(path, name, dtype, shape, data[start:stop])
        position = stop
    if position != len(data):
        raise UserError(f"{path} is damaged: it has {len(data) - position} bytes after its last tensor")
    return tensors
