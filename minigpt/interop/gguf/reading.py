"""Read a GGUF file: a Llama, a Qwen2 or a GPT-2 with its parameters, quantized or not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.interop.gguf.header import Header, TensorInfo
from minigpt.interop.gguf.tables import FIELDS, TABLES
from minigpt.interop.hf import fields
from minigpt.interop.keys import Keys, check_names
from minigpt.interop.tables import filled
from minigpt.interop.weight_files import StoredTensor
from minigpt.models import GPT, GPTConfig, Llama, LlamaConfig
from minigpt.ops.rope import Rope, RopeScaling, rope_frequencies

PLAIN = {0: "F32", 1: "F16", 30: "BF16"}  # ggml's numbers of the types that are stored as they are
QUANTIZED = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
SCALINGS = (RopeScaling(8.0), RopeScaling(32.0), RopeScaling(16.0))  # Llama 3.1, 3.2, 4: files have only the outcome
FACTORS = "rope_freqs.weight"
IGNORED = ("attn_rot_embd", "rope.freqs")  # tables of old files that can be computed
# Settings that change nothing that we compute.
HARMLESS = {"vocab_size", "tensor_data_layout", "attention.causal", "rope.scaling.finetuned"}


def read_model(header: Header, dtype: str | None = None) -> tuple[Any, Parameters]:
    """The model in a file and its parameters.

    Args:
        dtype: of the parameters; None takes float32.
    Raises:
        UserError: the model is of another kind than those that we compute, or the file is damaged.
    """
    architecture = header.metadata.get("general.architecture")
    if not isinstance(architecture, str) or architecture not in TABLES:
        raise UserError(
            f"{header.path}: general.architecture is {architecture!r}, but minigpt has only {', '.join(TABLES)}"
        )
    prefix = f"{architecture}."
    keys = Keys({k.removeprefix(prefix): v for k, v in header.metadata.items() if k.startswith(prefix)}, header.path)
    try:
        config = _config(header, keys, architecture)
        model = GPT(config) if architecture == "gpt2" else Llama(config)
    except UserError as error:
        raise UserError(str(error) if str(error).startswith(str(header.path)) else f"{header.path}: {error}") from None
    if left := sorted(set(keys.unasked()) - HARMLESS):
        raise UserError(f"{header.path} asks for what minigpt does not do: {', '.join(left)}")
    rows = TABLES[architecture](model.config)
    tensors = {name: _stored(header, name, info) for name, info in header.tensors.items() if not _computed(name)}
    missing, unexpected = [n for n in rows if n not in tensors], [n for n in tensors if n not in rows]
    check_names(f"{header.path} does not fit {architecture}", missing, unexpected)
    return model, filled(model, rows, tensors, dtype or "float32")


def _computed(name: str) -> bool:
    return name == FACTORS or any(part in name for part in IGNORED)


def _config(header: Header, keys: Keys, architecture: str) -> GPTConfig | LlamaConfig:
    """There are as many tokens as embeddings, and an output layer of its own where it has a tensor."""
    if "token_embd.weight" not in header.tensors:
        raise UserError(f"{header.path} lacks token_embd.weight")
    shape = {
        "vocab_size": header.tensors["token_embd.weight"].shape[0],
        **fields.read(keys, FIELDS[architecture]),
        "tied": "output.weight" not in header.tensors,
    }
    if architecture == "gpt2":
        return GPTConfig(**shape)
    biases = "qkv" if architecture == "qwen2" else "none"
    config = LlamaConfig(**shape, attention_bias=biases, scaled_residual_init=False)
    for name in ("attention.value_length", "rope.dimension_count"):
        keys.fixed(name, config.head_width)
    keys.fixed("expert_count", 0)
    keys.fixed("expert_used_count", 0)
    keys.fixed("rope.scaling.type", "none")
    return dataclasses.replace(config, **_scaling(header, config.rope_base, config.head_width))


def _scaling(header: Header, base: float, head_width: int) -> dict[str, Any]:
    """Llama 3.1's scaling of the rotation, of which files hold only by what each frequency is divided."""
    if FACTORS not in header.tensors:
        return {}
    stored = _stored(header, FACTORS, header.tensors[FACTORS])
    found = np.concatenate([block.reshape(-1) for _, block in stored.blocks()])
    plain = rope_frequencies(head_width, Rope(base))
    for scaling in SCALINGS:
        divisors = plain / rope_frequencies(head_width, Rope(base, scaling=scaling))
        if found.shape == divisors.shape and np.allclose(found, divisors, rtol=1e-5):
            names = ("rope_factor", "rope_low", "rope_high", "rope_context")
            return dict(zip(names, scaling, strict=True))
    raise UserError(f"{header.path}: its {FACTORS} is no scaling of Llama 3.1's, 3.2's or 4's kind")


def _stored(header: Header, name: str, info: TensorInfo) -> StoredTensor:
    """A tensor, mapped; quantized ones are unpacked a few rows at a time when they are copied."""
    kind, item, unpack = _type(header, name, info)
    size, rest = divmod(math.prod(info.shape) * item[1], item[0])
    if rest or (info.shape and info.shape[-1] % item[0]) or not 0 <= info.offset <= len(header.data) - size:
        raise UserError(f"{header.path} is truncated or damaged: the place of {name} does not fit its shape")
    return StoredTensor(header.path, name, kind, info.shape, header.data[info.offset : info.offset + size], unpack)


def _type(
    header: Header, name: str, info: TensorInfo
) -> tuple[str, tuple[int, int], Callable[[np.ndarray], np.ndarray] | None]:
    """What a tensor is stored as: the name, numbers and bytes of a block, and for quantized ones the way back."""
    if info.kind in PLAIN:
        return PLAIN[info.kind], (1, 4 if info.kind == 0 else 2), None
    try:
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
        from gguf.quants import dequantize
    except ImportError:
        raise UserError(
            f"{header.path} is quantized; to unpack it install the package gguf: pip install '.[gguf]' in the clone"
        ) from None
    known: Mapping[int, Any] = {kind.value: kind for kind in GGMLQuantizationType if kind.name in QUANTIZED}
    if info.kind not in known:
        raise UserError(
            f"{header.path}: {name} is stored as ggml's type {info.kind}; read are {', '.join(PLAIN.values())} and "
            f"{', '.join(QUANTIZED)}"
        )
    kind = known[info.kind]
    return kind.name, GGML_QUANT_SIZES[kind], partial(dequantize, qtype=kind)
