"""The families of Hugging Face's that we exchange models with, and the one that a model of ours belongs to."""

from __future__ import annotations

from typing import Any

from minigpt.core.backend import Array
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.interop.hf.bart import BARTFamily
from minigpt.interop.hf.bert import BertFamily, DistilBertFamily, RobertaFamily
from minigpt.interop.hf.family import Family
from minigpt.interop.hf.gpt import GPT2Family, GPTFamily, GPTNeoFamily
from minigpt.interop.hf.llama import LlamaFamily, MistralFamily, Qwen2Family
from minigpt.interop.keys import refuse
from minigpt.interop.tables import their_tensors

_DECODERS = (GPTFamily(), GPT2Family(), GPTNeoFamily(), LlamaFamily(), MistralFamily(), Qwen2Family())
_OTHERS = (BARTFamily(), BertFamily(), RobertaFamily(), DistilBertFamily())
FAMILIES: dict[str, Family] = {family.model_type: family for family in _DECODERS + _OTHERS}


def family_of(model: Any) -> Family:
    """The family of theirs that `model` belongs to.

    Raises:
        UserError: there is none, or its class cannot express the model.
    """
    for family in FAMILIES.values():
        if family.family == model.family and family.fits(model.config):
            refuse(f"Hugging Face's {family.architecture}", family.problems(model.config))
            return family
    raise UserError(f"Hugging Face has no class for the models of the family {model.family!r}")


def to_state_dict(model: Any, tree: Parameters) -> dict[str, Array]:
    """Name and lay out `tree` (parameters, or their gradients) as Hugging Face's class for the model does.

    The tensors are views; tied ones stand there once, under the name that they are saved by.

    Raises:
        UserError: that class cannot express the model.
    """
    return their_tensors(family_of(model).rows(model), tree)
