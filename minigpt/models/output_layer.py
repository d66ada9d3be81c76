"""The output layer of decoder-only models: the token embedding, a matrix (C, V) of its own, or none at all.

A configuration says which by `tied` and `headless`.
"""

from __future__ import annotations

from typing import Any

from minigpt.errors import UserError
from minigpt.params import ParameterSpec


def check_ends(config: Any) -> None:
    """Raise UserError for a configuration that contradicts itself."""
    if config.tied and config.headless:
        raise UserError("model.tied says that the embedding is the output layer, model.headless that there is none")


def output_specs(config: Any) -> list[ParameterSpec]:
    """The tensor of the output layer, where it is not the embedding."""
    if config.tied or config.headless:
        return []
    return [ParameterSpec("output", (config.width, config.vocab_size), config.init_std)]


def check_output(config: Any) -> None:
    """Raise UserError where nothing predicts tokens."""
    if config.headless:
        raise UserError(
            "this model has no output layer (lm_head), so it predicts no tokens; its hidden_states and embed work, and "
            'load(…, fresh=["lm_head."]) starts an output layer anew'
        )
