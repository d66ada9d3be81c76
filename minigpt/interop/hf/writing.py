"""Write a folder that transformers opens with `from_pretrained`: configuration, weights and tokenizer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from minigpt.core.files import new_folder, write_atomically
from minigpt.core.params import Parameters
from minigpt.core.tensor_file import file_pieces
from minigpt.interop.hf.families import family_of
from minigpt.interop.hf.tokenizer_files import special_ids, write_tokenizer
from minigpt.interop.tables import their_tensors
from minigpt.interop.token_roles import NAMES, write_generation
from minigpt.interop.weight_files import SINGLE
from minigpt.tokenizers import Tokenizer


def write_model(
    folder: Path,
    model: Any,
    params: Parameters,
    tokenizer: Tokenizer | None,
    ids: Mapping[str, Any] = MappingProxyType({}),
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write `model` to `folder`, which must not be there yet; it appears whole or not at all.

    Args:
        ids: of the tokens that begin, end and pad a text (see `minigpt.interop.token_roles`), where they are known
            from elsewhere than the tokenizer; settings: the others of generation.

    Raises:
        UserError: Hugging Face's class cannot express the model, or the folder exists or cannot be written.
    """
    model, params = with_biases(model, params)
    family = family_of(model)
    ids = {**special_ids(tokenizer), **ids}
    config = {
        "architectures": [f"{family.stem}Model" if getattr(model.config, "headless", False) else family.architecture],
        "model_type": family.model_type,
        **ids,
        **family.write_config(model.config),
        "dtype": str(params.flat.dtype),
    }
    tensors = their_tensors(family.rows(model), params)
    with new_folder(folder) as beside:
        write_atomically(beside / "config.json", json.dumps(config, indent=2) + "\n")
        write_generation(beside, {name: value for name, value in config.items() if name in NAMES}, settings)
        write_atomically(beside / SINGLE, file_pieces(tensors))
        if tokenizer:
            write_tokenizer(beside, tokenizer, model.config.context)


def with_biases(model: Any, params: Parameters) -> tuple[Any, Parameters]:
    """A model that computes the same and has biases, all of them zero, where Hugging Face's class has no way to do
    without.
    """
    if getattr(model.config, "bias", True):
        return model, params
    full = type(model)(dataclasses.replace(model.config, bias=True))
    biased = Parameters(full.specs, np.zeros(sum(spec.size for spec in full.specs), params.flat.dtype))
    for name, tensor in params.items():
        biased[name][...] = tensor
    return full, biased
