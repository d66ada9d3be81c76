"""How each family is spoken to in Hugging Face's terms: which inputs it takes, and what they become.

An adapter is a module with

    INPUTS                              the names of the arrays that it takes, as Hugging Face's class calls them
    logits(model, params, inputs, run)  the scores; `inputs` maps the names that were given to arrays
    depth(model)                        how many layers `hidden_states` can stop behind
    hidden_states(model, params, inputs, run, layer)   the states behind so many layers
    batch(model, inputs)                the batch for the model's `forward`, from the inputs and the labels
    IDS                                 what the ids that its configuration names are called by Hugging Face, and by us
    generate_ids(model, params, inputs, run, g, seed)   see `minigpt.interop.adapters.generation`; `g` is a `Generation`
                                                    and `inputs` has a row for each of the texts to be drawn

`minigpt.load` finds it by the family of the model.
"""

from types import ModuleType
from typing import Any

from minigpt.core.errors import UserError
from minigpt.interop.adapters import bert, causal, seq2seq

ADAPTERS: dict[str, ModuleType] = {
    "gpt": causal,
    "llama": causal,
    "transformer": seq2seq,
    "bart": seq2seq,
    "bert": bert,
}


def adapter_of(family: str) -> ModuleType:
    """The adapter of a family.

    Raises:
        UserError: it has none: it was added to training alone.
    """
    if family not in ADAPTERS:
        raise UserError(f"a model of the family {family} is not spoken to in Hugging Face's terms: it has no adapter")
    return ADAPTERS[family]


def known_ids(model: Any) -> dict[str, Any]:
    """The ids that a model's configuration itself names, under Hugging Face's names; none without an adapter."""
    names = ADAPTERS[model.family].IDS if model.family in ADAPTERS else {}
    return {theirs: getattr(model.config, ours) for theirs, ours in names.items()}


__all__ = ["ADAPTERS", "adapter_of", "known_ids"]
