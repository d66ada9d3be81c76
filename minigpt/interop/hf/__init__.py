"""Hugging Face's names, layouts and folders, both ways: one file per family, and what they share.

To add a family, write a file with a `Family` (see family.py) and list it in FAMILIES. Its heart is the naming table: a
row for each of their tensors, saying which view of ours it is. tables.py has the views that occur (`as_is`,
`transposed`, `columns` of a fused projection) and the rows of a linear layer or a norm; gpt2.py is a short example. A
tied tensor stands in the table once, under the name that they save it by.
"""

from __future__ import annotations

from typing import Any

from minigpt.backend import Array
from minigpt.errors import UserError
from minigpt.interop.hf import gpt, gpt2
from minigpt.interop.hf.family import Family
from minigpt.interop.tables import their_tensors
from minigpt.params import Parameters

FAMILIES = {f.model_type: f for f in (gpt.FAMILY, gpt2.FAMILY)}

__all__ = ["FAMILIES", "family_of", "to_state_dict"]


def family_of(model: Any) -> Family:
    """The family of theirs that `model` belongs to.

    Raises:
        UserError: there is none, or its class cannot express the model.
    """
    for family in FAMILIES.values():
        if family.family == model.family and family.fits(model.config):
            if problems := family.problems(model.config):
                raise UserError(
                    f"Hugging Face's {family.model_type} cannot express this model: it has {' and '.join(problems)}"
                )
            return family
    raise UserError(f"Hugging Face has no class for the models of the family {model.family!r}")


def to_state_dict(model: Any, tree: Parameters) -> dict[str, Array]:
    """Name and lay out `tree` (parameters, or their gradients) as Hugging Face's class for the model does.

    The tensors are views; tied ones stand there once, under the name that they are saved by.

    Raises:
        UserError: that class cannot express the model.
    """
    return their_tensors(family_of(model).table(model), tree)
