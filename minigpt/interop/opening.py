"""Open a model of another implementation, whichever of the formats that we read it is in."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from minigpt import tokenizers
from minigpt.core.cores import available_cores
from minigpt.core.errors import UserError
from minigpt.interop import gpt_arrays, llama2c
from minigpt.interop.gguf.header import is_gguf, read_header
from minigpt.interop.gguf.reading import read_model as gguf_model
from minigpt.interop.gguf.tokenizer import read_ids as gguf_ids
from minigpt.interop.gguf.tokenizer import read_tokenizer as read_gguf_tokenizer
from minigpt.interop.hf import reading
from minigpt.interop.hf.tokenizer_files import read_tokenizer
from minigpt.interop.keys import read_json
from minigpt.interop.opened import Opened
from minigpt.interop.token_roles import read_generation
from minigpt.train.families import objective_class
from minigpt.train.settings import DataConfig, RunConfig, TrainConfig


def open_model(
    path: Path, dtype: str | None, *, tokenizer: bool, skip: Collection[str], fresh: Collection[str]
) -> Opened:
    """Open a Hugging Face folder, a GGUF file, a model of llama2.c, or GPT's released arrays.

    Args:
        dtype: of the parameters; None takes what is stored (float32 for half precision).
        tokenizer: whether to look for a tokenizer beside the weights.
        skip, fresh: see `minigpt.interop.hf.reading.read_model`.

    Raises:
        UserError: it is none of them, it is damaged, or it needs something that minigpt does not do.
    """
    ids: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    if (path / reading.CONFIG).exists():
        model, params = reading.read_model(path, dtype, skip=skip, fresh=fresh)
        model_type = read_json(path / reading.CONFIG).get("model_type") or model.family  # old files lack it
        found = read_tokenizer(path, model.config.vocab_size, model_type) if tokenizer else None
        ids, settings = read_generation(path, reading.CONFIG)
    elif (path / gpt_arrays.SHAPES).exists():
        model, params = gpt_arrays.read_model(path, dtype)
        found = read_tokenizer(path, model.config.vocab_size) if tokenizer else None
    elif path.is_file() and is_gguf(path):
        header = read_header(path)
        model, params = gguf_model(header, dtype)
        found = read_gguf_tokenizer(header) if tokenizer else None
        ids = gguf_ids(header)
    elif path.is_file():
        model, params = llama2c.read_model(path, dtype)
        ids, settings = dict(llama2c.IDS), dict(llama2c.SETTINGS)
        beside = path.with_name("tokenizer.bin")
        found = tokenizers.load(beside) if tokenizer and beside.exists() else None
    else:
        raise _no_model(path)
    config = RunConfig(
        family=model.family,
        model=model.config,
        objective=objective_class(model.family).Config(),
        data=DataConfig(tokenizer=str(path)),
        train=TrainConfig(dtype=str(params.flat.dtype), workers=available_cores()),
    )
    return Opened(model, params, found, config, ids, settings)


def _no_model(path: Path) -> UserError:
    if not path.exists():
        return UserError(f"there is no {path}")
    return UserError(
        f"{path} is no model that minigpt reads: neither a run, nor a Hugging Face folder ({reading.CONFIG} and "
        "safetensors), a GGUF file, a model of llama2.c (.bin) or GPT's released arrays "
        f"({gpt_arrays.SHAPES}, params_0.npy, …)"
    )
