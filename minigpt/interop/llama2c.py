"""Models of llama2.c: one file, a header and float32s, in its first format or in version 1.

The first format begins with seven numbers (width, feed-forward width, layers, heads, key-value heads, vocabulary,
context); a negative vocabulary says that the output layer has a matrix of its own. Version 1 begins with "ak42", the
version, the same numbers and a byte for a shared output layer, in 256 bytes. Then follow the tensors, in an order that
the two do not share, each kind for all layers. The first format also holds the rotation's cosines and sines, which
nobody needs. In every head the numbers of a pair stand side by side, as Meta keeps them; ours are half a head apart.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minigpt.core.backend import Array
from minigpt.core.errors import UserError
from minigpt.core.files import write_new
from minigpt.core.limits import LAYERS
from minigpt.core.params import Parameters
from minigpt.interop.keys import refuse
from minigpt.interop.tables import Table, View, as_is, filled, layers, llama_layer, their_shapes, transposed
from minigpt.interop.weight_files import StoredTensor, mapped
from minigpt.models.llama import Llama, LlamaConfig
from minigpt.ops import Rope
from minigpt.ops.rope import rope_table

MAGIC = 0x616B3432
_NAMES = ("width", "feed_forward", "layers", "heads", "kv_heads", "vocab_size", "context")  # in the header's order
_SIZES = struct.Struct("<7i")
_VERSION_1 = struct.Struct("<Ii7iB")
_VERSION_1_BYTES = 256
_BASE, _EPS = 10000.0, 1e-5  # of the rotation and the norms; llama2.c has them in its code, not in the file
# Its program begins every text with id 1 and stops where the model says it again; id 2, </s>, it goes on after.
IDS = {"bos_token_id": 1, "eos_token_id": 1}
SETTINGS = {"top_k": 0}  # it draws from all tokens
_LAYER = ("norm1", "wq", "wk", "wv", "wo", "norm2", "w1", "w3", "w2")  # w1 is the gate, w3 up, w2 down
ROTATION = ("cos", "sin")  # its tables
_ORDERS = (
    ("tokens", "norm1", "wq", "wk", "wv", "wo", "norm2", "w1", "w2", "w3", "final_norm", *ROTATION, "output"),
    ("norm1", "norm2", "final_norm", "tokens", "wq", "wk", "wv", "wo", "w1", "w2", "w3", "output"),
)


def interleaved(view: View, head_width: int) -> View:
    """Theirs has pair j of a head in rows 2j and 2j + 1, ours in rows j and j + D/2 of what `view` shows."""

    def pairs(x: Array) -> Array:
        rows = view(x)  # (H·D, C)
        return rows.reshape(-1, 2, head_width // 2, rows.shape[-1]).swapaxes(1, 2)  # (H, D/2, 2, C)

    return pairs


def table(c: LlamaConfig) -> Table:
    """Their tensors, which have no names in the file, as views of ours."""
    layer = llama_layer(c, _LAYER, interleaved if c.rope_layout == "half" else None)
    rows: Table = {"tokens": ("tokens", as_is), "final_norm": ("final_norm.gain", as_is)}
    rows |= {} if c.tied else {"output": ("output", transposed)}
    return rows | layers(layer, "layers", c.layers)


def _order(c: LlamaConfig, version: int) -> Iterator[str]:
    """The names of the table, and the rotation's "cos" and "sin", as they follow each other in a file."""
    for kind in _ORDERS[version]:
        if kind in ("tokens", "final_norm", *ROTATION):
            yield kind
        elif kind == "output":
            yield from () if c.tied else (kind,)
        else:
            yield from (f"layers.{i}.{kind}.weight" for i in range(c.layers))


def read_model(path: Path, dtype: str | None = None) -> tuple[Llama, Parameters]:
    """The model in a file, memory-mapped, and its parameters.

    Raises:
        UserError: the file cannot be read, is not such a model, is damaged, truncated, or in another version.
    """
    data = mapped(path)
    config, version, start = _header(path, data)
    model = Llama(config)
    rows = table(config)
    shapes = their_shapes(model, rows) | dict.fromkeys(ROTATION, (config.context, config.head_width // 2))
    found = {}
    for name in _order(config, version):
        stop = start + 4 * math.prod(shapes[name])
        found[name] = StoredTensor(path, name, "F32", shapes[name], data[start:stop])
        start = stop
    if start != len(data):
        raise UserError(f"{path} is damaged: it has {len(data)} bytes, but its header ({_words(config)}) needs {start}")
    return model, filled(model, rows, found, dtype or "float32")


def _header(path: Path, data: np.ndarray) -> tuple[LlamaConfig, int, int]:
    """The configuration, the version, and where the tensors start."""
    if len(data) < _VERSION_1_BYTES:
        raise UserError(f"{path} is truncated, or no model of llama2.c: it has {len(data)} bytes")
    magic, version, *sizes, shared = _VERSION_1.unpack(data[: _VERSION_1.size].tobytes())
    if magic == MAGIC:
        if version != 1:
            raise UserError(f"{path} is in version {version} of llama2.c's format (2 is quantized); only 1 is read")
        start = _VERSION_1_BYTES
    else:
        version, start = 0, _SIZES.size
        sizes = list(_SIZES.unpack(data[:start].tobytes()))
        shared, sizes[5] = sizes[5] > 0, abs(sizes[5])
    named = dict(zip(_NAMES, sizes, strict=True))
    if min(sizes) < 1 or named["layers"] > LAYERS or max(sizes) > 2**24 or named["width"] % named["heads"]:
        raise UserError(
            f"{path} is no model that minigpt can read (as a header of llama2.c, its first bytes would say {sizes})"
        )
    if 4 * named["layers"] * named["width"] ** 2 > len(data):  # the queries alone, before all layers are listed
        raise UserError(f"{path} is damaged: it has {len(data)} bytes, but its header {sizes} needs more")
    try:
        constants = {"rope_base": _BASE, "norm_eps": _EPS}
        config = LlamaConfig(**named, **constants, tied=bool(shared), scaled_residual_init=False)
    except UserError as error:
        raise UserError(f"{path} is no model of llama2.c: {error}") from None
    return config, version, start


def _words(c: LlamaConfig) -> str:
    return f"{c.layers} layers of width {c.width} and {c.feed_forward}, {c.vocab_size} tokens, context {c.context}"


def write_model(path: Path, model: Any, params: Parameters, version: int = 0) -> None:
    """Write a Llama to a file that is not there yet, for llama2.c's run (version 0, its first format) or in version 1.

    Raises:
        UserError: llama2.c cannot express the model, or the file exists or cannot be written.
    """
    refuse("llama2.c", _problems(model, params))
    write_new(path, _pieces(model.config, params, version))


def _problems(model: Any, params: Parameters) -> dict[str, bool]:
    c = model.config
    if model.family != "llama":
        return {f"the family {model.family}, not llama": True}
    return {
        f"the rotation base {c.rope_base}, not {_BASE}": c.rope_base != _BASE,
        "a scaled rotation": c.rope_factor > 1,
        "no output layer": c.headless,
        "biases in attention": c.attention_bias != "none",
        f"a window of {c.window} tokens": c.window > 0,
        f"norms with ε = {c.norm_eps}, not {_EPS}": c.norm_eps != _EPS,
        f"heads of width {c.head_width}, not {c.width}/{c.heads}": c.head_width * c.heads != c.width,
        f"weights in {params.flat.dtype}, not float32": params.flat.dtype != np.float32,
    }


def _pieces(c: LlamaConfig, params: Parameters, version: int) -> Iterator[bytes]:
    """The bytes of the file, a tensor at a time."""
    sizes = [getattr(c, name) for name in _NAMES]
    if version:
        yield _VERSION_1.pack(MAGIC, version, *sizes, c.tied).ljust(_VERSION_1_BYTES, b"\0")
    else:
        sizes[5] = c.vocab_size if c.tied else -c.vocab_size
        yield _SIZES.pack(*sizes)
    rows = table(c) | {name: (name, as_is) for name in ROTATION}
    tree = {**params, **dict(zip(ROTATION, rope_table(np, c.context, c.head_width, Rope(_BASE)), strict=True))}
    for name in _order(c, version):
        ours, view = rows[name]
        yield np.ascontiguousarray(view(tree[ours]), "<f4").tobytes()
