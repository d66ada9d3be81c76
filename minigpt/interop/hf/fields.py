"""Settings that their configuration and ours both have: one table of a family, read in one direction, written in the
other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from minigpt.core.limits import LAYERS
from minigpt.interop.keys import Keys

# What their configurations call activations, and what we call them: several of their names differ in how a function is
# computed, not in which one it is.
ACTIVATIONS = {
    "gelu": "gelu_erf",
    "gelu_python": "gelu_erf",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}


class Field(NamedTuple):
    """A setting: what we call it and what they do, and how it is read.

    Attributes:
        read: the method of `Keys` that reads it.
        default: where their file does not say it; None where it must.
        limits: further arguments of `read`.
        names: our value -> theirs, where the two differ.
    """

    ours: str
    theirs: str
    read: Callable[..., Any]
    default: Any = None
    limits: Mapping[str, Any] = {}
    names: Mapping[Any, str] = {}


def count(ours: str, theirs: str, default: int | None = None, **limits: Any) -> Field:
    """A whole number, from 1 on unless `limits` say otherwise."""
    return Field(ours, theirs, Keys.integer, default, limits)


def depth(ours: str, theirs: str, default: int | None = None) -> Field:
    return count(ours, theirs, default, most=LAYERS)


def number(ours: str, theirs: str, default: float, **limits: Any) -> Field:
    """A number from 0 on."""
    return Field(ours, theirs, Keys.number, default, limits)


def rate(ours: str, theirs: str, default: float, **limits: Any) -> Field:
    """A number from 0 on and below 1."""
    return number(ours, theirs, default, below=1, **limits)


def flag(ours: str, theirs: str, default: bool) -> Field:
    return Field(ours, theirs, Keys.flag, default)


def choice(ours: str, theirs: str, known: Mapping[str, str], default: str) -> Field:
    """A name, where they have several for one of ours; the first of them is written.

    Args:
        known: theirs -> ours.
    """
    return Field(ours, theirs, Keys.choice, default, {"ours": known}, {b: a for a, b in reversed(known.items())})


def activation(theirs: str, default: str, known: Mapping[str, str] = ACTIVATIONS) -> Field:
    return choice("activation", theirs, known, default)


def read(keys: Keys, fields: Iterable[Field]) -> dict[str, Any]:
    """Our settings, of their configuration."""
    return {f.ours: f.read(keys, f.theirs, default=f.default, **f.limits) for f in fields}


def written(config: Any, fields: Iterable[Field]) -> dict[str, Any]:
    """Their settings, of our configuration."""
    values = ((f, getattr(config, f.ours)) for f in fields)
    return {f.theirs: f.names.get(value, value) for f, value in values}
