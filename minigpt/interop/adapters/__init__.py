"""How each family is spoken to in Hugging Face's terms: which inputs it takes, and what they become.

An adapter is a module with

    INPUTS                              the names of the arrays that it takes, as Hugging Face's class calls them
    logits(model, params, inputs, run)  the scores; `inputs` maps the names that were given to arrays
    depth(model)                        how many layers `hidden_states` can stop behind
    hidden_states(model, params, inputs, run, layer)   the states behind so many layers
    batch(model, inputs)                the batch for the model's `forward`, from the inputs and the labels
    known_ids(model)                    the ids that its configuration names, under Hugging Face's names
    generate_ids(model, params, inputs, run, g, seed)   see `minigpt.interop.adapters.generation`; `g` is a `Generation`
                                                    and `inputs` has a row for each of the texts to be drawn

`minigpt.load` finds it by the family of the model.
"""

from types import ModuleType

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


__all__ = ["ADAPTERS", "adapter_of"]
