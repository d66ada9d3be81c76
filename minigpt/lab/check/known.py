"""What an operation is to the check: its inputs and what people call them, cases that show mistakes, a reference.

`operations.py` and `attention_operations.py` have the records. An input that is differentiated is a *role* ("weight"),
everything else that a function may want is a *setting* ("eps", "mask"). A *variant* is another reading of the same name
(a loss that is a sum and no mean); a *layout* is another shape of the same numbers (weights (out, in), no batch axis).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from minigpt import ops
from minigpt.lab.check import whole_layer
from minigpt.ops.dropout import DropoutCache

Arrays = dict[str, np.ndarray]
Pullback = Callable[[Any], Arrays]
TABLE = SimpleNamespace(
    **ops.TABLE,
    DropoutCache=DropoutCache,
    layer_forward=whole_layer.layer_forward,
    layer_backward=whole_layer.layer_backward,
)
SMALL = 0.3  # the standard deviation of weights and inputs, as in the tests of our own operations


class Way(NamedTuple):
    """How one array goes to the learner's function and comes back: `back` gets the shape that it must have."""

    to: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray, tuple[int, ...]], np.ndarray]


SAME = Way(lambda x: x, lambda x, shape: x)
ROWS = Way(lambda x: x.reshape(-1, x.shape[-1]), lambda x, shape: x.reshape(shape))  # (…, C) as (N, C)
FLAT = Way(lambda x: x.reshape(-1), lambda x, shape: x.reshape(shape))
ONE_ROW = Way(lambda x: x.reshape(1, -1), lambda x, shape: x.reshape(shape))  # (C,) as (1, C)
TURNED = Way(lambda x: np.ascontiguousarray(x.T), lambda x, shape: x.T)  # (in, out) as (out, in)
HEADS_FIRST = Way(lambda x: np.ascontiguousarray(x.swapaxes(1, 2)), lambda x, shape: x.swapaxes(1, 2))
NO_HEADS = Way(lambda x: x.reshape(x.shape[0], x.shape[1], -1), lambda x, shape: x.reshape(shape))
ONE_HEAD = Way(lambda x: x.reshape(x.shape[1], -1), lambda x, shape: x.reshape(shape))
NO_BATCH = Way(lambda x: x[0], lambda x, shape: x.reshape(shape))


@dataclass(frozen=True)
class Case:
    """One set of inputs.

    Attributes:
        inputs: role to float64 array.
        fixed: setting to value.
        needs: settings that a function must know of for the case to make sense.
        tags: what is special about it, in words that complete "only …".
    """

    name: str
    inputs: Arrays
    fixed: dict[str, Any] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Layout:
    """Another shape of the same numbers.

    Attributes:
        ways: of roles and of "y"; the rest goes as it is.
        settings: setting to a function of the case that gives the value in this layout.
        fits: which cases can be put so.
        fused: roles that the learner has as one array, side by side: {"w_qkv": ("w_q", "w_k", "w_v")}.
    """

    name: str
    ways: dict[str, Way] = field(default_factory=dict)
    settings: dict[str, Callable[[Case], Any]] = field(default_factory=dict)
    fits: Callable[[Case], bool] = lambda case: True
    fused: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def way(self, role: str) -> Way:
        return self.ways.get(role, SAME)

    def values(self, case: Case) -> dict[str, Any]:
        """Every role and setting of a case as the learner's function gets it."""
        found: dict[str, Any] = {role: self.way(role).to(x) for role, x in case.inputs.items()}
        found |= case.fixed | {name: make(case) for name, make in self.settings.items()}
        for role, parts in self.fused.items():
            if all(part in found for part in parts):
                found[role] = np.concatenate([found.pop(part) for part in parts], axis=-1 if role in self._last else 0)
        return {name: value for name, value in found.items() if value is not None}

    @property
    def _last(self) -> set[str]:
        return {role for role, parts in self.fused.items() if self.way(parts[0]) is not TURNED}

    def split(self, gradients: Arrays) -> Arrays:
        """Undo `fused` on gradients."""
        found = dict(gradients)
        for role, parts in self.fused.items():
            if role in found:
                axis = -1 if role in self._last else 0
                whole = found.pop(role)
                if whole.ndim and whole.shape[axis] % len(parts) == 0:
                    found |= dict(zip(parts, np.split(whole, len(parts), axis=axis), strict=True))
        return found


class Variant(NamedTuple):
    """Another reading of an operation: settings that replace a case's own."""

    name: str
    fixed: dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """What is known of an operation.

    Attributes:
        aliases: what it is called in other code, without underscores.
        roles, settings: name to what people call it, without underscores, in the order of the usual signature.
        reference: (operations, inputs, fixed) to y and the function that takes dy to the gradients.
        sources: the functions of `minigpt.ops` whose backward lines the catalogue changes, as "module.function".
        axes: the names of the axes of each role's array.
        lesson: the notebook and the section that derive it.
    """

    name: str
    aliases: tuple[str, ...]
    roles: dict[str, tuple[str, ...]]
    settings: dict[str, tuple[str, ...]]
    make_cases: Callable[[], list[Case]]
    reference: Callable[[Any, Arrays, dict[str, Any]], tuple[Any, Pullback]]
    sources: tuple[str, ...]
    axes: dict[str, tuple[str, ...]]
    lesson: str
    variants: tuple[Variant, ...] = (Variant("", {}),)
    layouts: tuple[Layout, ...] = (Layout("as written"),)

    @functools.cached_property
    def cases(self) -> list[Case]:
        return self.make_cases()


class Words(NamedTuple):
    """What people call things that many operations have."""

    x: tuple[str, ...] = (
        "x",
        "inp",
        "input",
        "inputs",
        "a",
        "h",
        "z",
        "xin",
        "hidden",
        "hiddenstates",
        "data",
        "scores",
    )
    weight: tuple[str, ...] = ("w", "weight", "weights", "kernel", "wmat", "matrix", "wt", "theta")
    bias: tuple[str, ...] = ("b", "bias", "biases", "beta", "β", "shift", "offset")
    gain: tuple[str, ...] = ("gain", "gamma", "γ", "g", "scale", "weight", "w", "weights")
    eps: tuple[str, ...] = ("eps", "epsilon", "ε", "variancepsilon", "tiny")
    mask: tuple[str, ...] = ("mask", "attnmask", "attentionmask", "causalmask", "m", "allowed", "keep", "bias")


WORDS = Words()


def normal(seed: int) -> Callable[..., np.ndarray]:
    """A function that draws arrays N(0, 0.3²)."""
    rng = np.random.default_rng(seed)
    return lambda *shape: SMALL * rng.standard_normal(shape)


def tagged(case: Case, *tags: str) -> Case:
    return Case(case.name, case.inputs, case.fixed, case.needs, case.tags | frozenset(tags))
