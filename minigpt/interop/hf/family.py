"""What one family of Hugging Face's has to say about itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from minigpt.interop.tables import Table


class Family(NamedTuple):
    """One `model_type`, as data and pure functions.

    Attributes:
        model_type: what config.json calls it.
        family: our name, a key of `minigpt.models.FAMILIES`.
        fits: whether one of our configurations of that family is of this model_type ("gpt" is two of theirs).
        problems: what of such a configuration their class cannot express, as ends of the sentence "the model has …".
        table: the naming table of a model (see `minigpt.interop.tables`): their name -> (our name, view).
    """

    model_type: str
    family: str
    fits: Callable[[Any], bool]
    problems: Callable[[Any], list[str]]
    table: Callable[[Any], Table]
