"""Write a GPT, Llama or Qwen2 to a GGUF file, in float32 or float16, with its tokenizer, for llama.cpp and its like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from minigpt.core import disk
from minigpt.core.errors import UserError
from minigpt.core.files import new_folder
from minigpt.core.params import Parameters
from minigpt.interop.gguf.reading import FACTORS
from minigpt.interop.gguf.tables import FIELDS, TABLES, single
from minigpt.interop.gguf.tokenizer import QWEN2_PATTERN
from minigpt.interop.hf.fields import written
from minigpt.interop.keys import refuse
from minigpt.interop.tables import their_tensors
from minigpt.ops.rope import Rope, rope_frequencies
from minigpt.tokenizers import ByteBPE, SentencePieceBPE, Tokenizer
from minigpt.tokenizers.patterns import GPT2_PATTERN, LLAMA3_PATTERN
from minigpt.tokenizers.sentencepiece_vocabulary import CONTROL, NORMAL

ARCHITECTURES = {"gpt": "gpt2", "llama": "llama"}
PATTERNS = {GPT2_PATTERN: "gpt-2", LLAMA3_PATTERN: "llama-bpe", QWEN2_PATTERN: "qwen2"}


def write_model(
    path: Path,
    model: Any,
    params: Parameters,
    tokenizer: Tokenizer | None,
    ids: dict[str, Any],
    dtype: str = "float16",
    chat: str | None = None,
) -> None:
    """Write a file that is not there yet.

    Args:
        ids: of the tokens that begin, end and pad a text, by Hugging Face's names.
        dtype: of the matrices, "float16" or "float32"; vectors are always float32.
        chat: its chat template.
    Raises:
        UserError: the format cannot express the model or its tokenizer, or the file exists or cannot be written.
    """
    try:
        from gguf import GGUFWriter
    except ImportError:
        raise UserError("to write GGUF, install the package gguf: pip install '.[gguf]' in the clone") from None
    refuse("GGUF", _problems(model, tokenizer))
    c = model.config
    architecture = "qwen2" if model.family == "llama" and c.attention_bias == "qkv" else ARCHITECTURES[model.family]
    with new_folder(path, what="file") as beside:
        writer = GGUFWriter(beside / path.name, architecture)
        writer.add_file_type(1 if dtype == "float16" else 0)
        for name, value in _settings(c, architecture).items():
            write = writer.add_float32 if isinstance(value, float) else writer.add_uint32
            write(f"{architecture}.{name}", value)
        if tokenizer is None:
            writer.add_tokenizer_model("none")
        else:
            _write_tokenizer(writer, tokenizer, ids)
        if chat is not None:
            writer.add_chat_template(chat)
        for name, tensor in _tensors(c, params, architecture).items():
            stored = dtype if tensor.ndim > 1 and name != "position_embd.weight" else "float32"
            writer.add_tensor(name, np.ascontiguousarray(tensor, stored))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        disk.sync(beside / path.name)
        disk.link(beside / path.name, path)


def _problems(model: Any, tokenizer: Tokenizer | None) -> dict[str, bool]:
    """What the format cannot express, as ends of the sentence "it has …", and whether the model has it."""
    c = model.config
    if model.family not in ARCHITECTURES:
        return {f"the family {model.family}, not gpt or llama": True}
    found = {"no output layer": c.headless}
    if model.family == "gpt":
        found |= {
            f"norms that are {c.norm}-norm": c.norm != "pre",
            f"the activation {c.activation}": c.activation != "gelu_tanh",
            f"banded attention (window {c.window})": c.window > 0,
            "scores that are not scaled": not c.scaled_scores,
        }
    else:
        found |= {
            "a scaled rotation that no Llama has": c.rope_factor > 1 and (c.rope_low, c.rope_high) != (1.0, 4.0),
            "biases in attention's output": c.attention_bias == "all",
            "biases, and a rotation that is scaled or interleaved": (
                c.attention_bias == "qkv" and (c.rope_factor > 1 or c.rope_layout != "half")
            ),
            f"a window of {c.window} tokens": c.window > 0,
        }
    if tokenizer is not None and not isinstance(tokenizer, SentencePieceBPE):
        known = isinstance(tokenizer, ByteBPE) and tokenizer.pattern in PATTERNS
        found[f"a tokenizer of the kind {tokenizer.kind}, whose words llama.cpp would cut otherwise"] = not known
    return found


def _settings(c: Any, architecture: str) -> dict[str, float]:
    """What the file says of the model: floats are written as such, other numbers are whole."""
    fields = FIELDS[architecture]
    shape = written(c, fields) | {f.theirs: float(getattr(c, f.ours)) for f in fields if f.read is single}
    if architecture == "gpt2":
        return shape
    widths = dict.fromkeys(("attention.value_length", "rope.dimension_count"), c.head_width)
    return shape | widths | {"vocab_size": c.vocab_size}


def _tensors(c: Any, params: Parameters, architecture: str) -> dict[str, np.ndarray]:
    """What lies in the file, under its names; a scaled rotation is a tensor, too."""
    rows = TABLES[architecture](c)
    tensors = their_tensors({theirs: row for theirs, row in rows.items() if row[0] in params}, params)
    for bias in [name for name in rows if name not in tensors]:  # a model without biases is one with zeros
        tensors[bias] = np.zeros(len(tensors[bias.replace(".bias", ".weight")]), np.float32)
    if architecture != "gpt2" and c.rope_factor > 1:
        plain = rope_frequencies(c.head_width, Rope(c.rope_base))
        tensors[FACTORS] = (plain / rope_frequencies(c.head_width, c.rope)).astype(np.float32)
    return tensors


def _write_tokenizer(writer: Any, tokenizer: ByteBPE | SentencePieceBPE, ids: dict[str, Any]) -> None:
    if isinstance(tokenizer, SentencePieceBPE):
        v = tokenizer.vocabulary
        writer.add_tokenizer_model("llama")
        writer.add_token_list(v.pieces)
        writer.add_token_scores(v.scores)
        writer.add_token_types(v.types)
        writer.add_add_space_prefix(v.add_dummy_prefix)
        writer.add_remove_extra_whitespaces(v.remove_extra_whitespaces)
    else:
        names = sorted({**tokenizer.vocab, **tokenizer.special_tokens}.items(), key=lambda item: item[1])
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(PATTERNS[tokenizer.pattern])
        writer.add_token_list([name for name, _ in names])
        writer.add_token_types([CONTROL if name in tokenizer.special_tokens else NORMAL for name, _ in names])
        writer.add_token_merges([" ".join(pair) for pair in tokenizer.merges])
    writer.add_add_bos_token(bool(tokenizer.template.single[0].ids))
    writer.add_add_eos_token(bool(tokenizer.template.single[-1].ids))
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        found = ids.get(name)
        first = found[0] if isinstance(found, list) and found else found  # the format has one of each
        if type(first) is int:
            getattr(writer, f"add_{name}")(first)
