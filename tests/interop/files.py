"""Small folders in other implementations' formats, made without those implementations."""

import json
import struct
from pathlib import Path

import numpy as np

from minigpt.interop.hf.writing import write_model
from minigpt.models import GPT, GPTConfig

MODEL = GPT(GPTConfig(vocab_size=300, context=8, layers=2, heads=2, width=6))


def gpt2_folder(folder: Path, model: GPT = MODEL, tokenizer=None) -> Path:
    """A Hugging Face folder of a small random GPT-2."""
    write_model(folder, model, model.init(seed=1), tokenizer)
    return folder


def write_tensors(path: Path, tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> None:
    """A safetensors file of (dtype, shape, bytes), whatever they are."""
    header, position = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + len(data)]}
        position += len(data)
    write_raw(path, json.dumps(header).encode(), b"".join(data for _, _, data in tensors.values()))


def write_raw(path: Path, header: bytes, data: bytes) -> None:
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def read_tensors(path: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    header.pop("__metadata__", None)
    return {
        name: (entry["dtype"], tuple(entry["shape"]), data[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }


def change_config(folder: Path, **changed) -> None:
    """Change keys of config.json; None takes one out."""
    path = folder / "config.json"
    values = json.loads(path.read_text()) | changed
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


def change_tensors(folder: Path, change) -> None:
    path = folder / "model.safetensors"
    tensors = read_tensors(path)
    change(tensors)
    write_tensors(path, tensors)


def bfloat16(x: np.ndarray) -> bytes:
    """The upper halves of float32s."""
    return (x.astype("<f4").view(np.uint32) >> 16).astype("<u2").tobytes()
