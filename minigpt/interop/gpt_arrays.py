"""GPT's weights as OpenAI released them: params_shapes.json, and one array of all numbers cut into params_0.npy, ….

The order is positions, tokens, then for every block the attention's two matrices, its norm, the feed-forward layer's
two matrices and its norm, each with its bias; matrices have an axis of length 1 in front. What the files do not say,
the number of heads, follows from their width, which is 64.
"""

from __future__ import annotations

import itertools
import math
import os
from pathlib import Path
from tokenize import TokenError

import numpy as np
import numpy.lib.format as npy

from minigpt.core.errors import UserError
from minigpt.core.files import read_text
from minigpt.core.limits import CONFIGURATION_BYTES, SIZE
from minigpt.core.params import Parameters
from minigpt.core.reading import open_regular, parse_json
from minigpt.interop.hf import FAMILIES
from minigpt.interop.hf.gpt import PREFIX
from minigpt.interop.tables import filled
from minigpt.interop.weight_files import StoredTensor
from minigpt.models import GPT, GPTConfig

SHAPES = "params_shapes.json"
_BLOCK = ("attn.c_attn", "attn.c_proj", "ln_1", "mlp.c_fc", "mlp.c_proj", "ln_2")
_HEAD_WIDTH = 64


def read_model(folder: Path, dtype: str | None = None) -> tuple[GPT, Parameters]:
    """The model in a folder of released arrays, and its parameters.

    Raises:
        UserError: a file is missing or damaged, or the shapes are not those of a GPT.
    """
    shapes = _shapes(folder / SHAPES)
    (context, width), (vocab_size, _) = shapes[0], shapes[1]
    if width % _HEAD_WIDTH:
        raise UserError(f"{folder / SHAPES}: the width {width} is not a multiple of 64, the width of GPT's heads")
    layers = (len(shapes) - 2) // (2 * len(_BLOCK))
    model = GPT(GPTConfig(vocab_size, context, layers, width // _HEAD_WIDTH, width, norm="post", dropout=0.1))
    table = FAMILIES["openai-gpt"].rows(model)
    return model, filled(model, table, _cut(folder, _names(layers), shapes), dtype or "float32")


def _shapes(path: Path) -> list[list[int]]:
    try:
        shapes = parse_json(read_text(path, CONFIGURATION_BYTES))
        good = all(type(n) is int and 0 < n < SIZE for shape in shapes for n in shape)
        good = good and [len(shape) for shape in shapes[:2]] == [2, 2] and len(shapes) % 12 == 2
    except (ValueError, TypeError):
        good = False
    if not good:
        raise UserError(f"{path} is damaged: it should list 2 shapes, and 12 for every block")
    return shapes


def _names(layers: int) -> list[str]:
    names = ["positions_embed.weight", "tokens_embed.weight"]
    names += [f"h.{i}.{name}.{part}" for i in range(layers) for name in _BLOCK for part in ("weight", "bias")]
    return [PREFIX + name for name in names]


def _cut(folder: Path, names: list[str], shapes: list[list[int]]) -> dict[str, StoredTensor]:
    """Cut the files, which form one long array, into tensors; only those that lie across two files are copied."""
    files = [_open(folder / f"params_{n}.npy") for n in range(max(1, len(list(folder.glob("params_*.npy")))))]
    *firsts, held = itertools.accumulate(map(len, files), initial=0)
    total = sum(map(math.prod, shapes))
    if held != total:
        raise UserError(f"{folder}: params_*.npy hold {held} numbers, but {SHAPES} needs {total}")
    tensors, start = {}, 0
    for name, shape in zip(names, shapes, strict=True):
        stop = start + math.prod(shape)
        parts = [file[max(start - first, 0) : max(stop - first, 0)] for file, first in zip(files, firsts, strict=True)]
        parts = [part for part in parts if len(part)]
        data = parts[0] if len(parts) == 1 else np.concatenate(parts)
        inner = shape[1:] if len(shape) == 3 and shape[0] == 1 else shape
        tensors[name] = StoredTensor(folder, name, "F32", tuple(inner), data.view(np.uint8))
        start = stop
    return tensors


def _open(path: Path) -> np.ndarray:
    """A flat array of float32 in NumPy's format, whose numbers are mapped."""
    with open_regular(path) as file:
        try:
            read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(file)
        except (ValueError, SyntaxError, TypeError, TokenError, MemoryError, RecursionError):
            raise UserError(f"{path} is damaged, or not an array of NumPy: its header cannot be read") from None
        offset, size = file.tell(), os.fstat(file.fileno()).st_size
    if dtype != np.dtype("<f4") or len(shape) != 1:
        raise UserError(f"{path} is not a flat array of float32, but one of {dtype.str} and shape {shape}")
    if size != offset + 4 * shape[0]:
        raise UserError(f"{path} is damaged: it should have {shape[0]} numbers after its header")
    return np.memmap(path, "<f4", mode="r", offset=offset, shape=shape) if shape[0] else np.empty(0, "<f4")
