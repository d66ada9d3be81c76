"""Write safetensors a tensor at a time, so that a file needs no second copy of the model in memory."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def file_pieces(tensors: Mapping[str, np.ndarray]) -> Iterator[bytes]:
    """The bytes of a safetensors file that holds `tensors` (float32 or float64), made one tensor at a time."""
    names = {np.dtype(np.float64): "F64", np.dtype(np.float32): "F32"}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, x in tensors.items():
        place = [position, position + x.nbytes]
        header[name] = {"dtype": names[x.dtype], "shape": list(x.shape), "data_offsets": place}
        position += x.nbytes
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)  # so that the tensors start at a multiple of 8
    yield struct.pack("<Q", len(text)) + text
    for x in tensors.values():
        yield np.ascontiguousarray(x, x.dtype.newbyteorder("<")).tobytes()
