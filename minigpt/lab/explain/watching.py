"""Stand between a model and its operations: a table of `minigpt.ops` that knows where in the model each call belongs.

A model asks `Run.ops` for every operation. `Watching` takes its place, calls the plain operation, and tells a subclass
of each call. A call belongs where its parameters do; one without parameters (attention, an activation, a sum) belongs
to the part of the model whose parameters were used last.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from minigpt import ops
from minigpt.core.params import Parameters
from minigpt.lab.explain.source import Site, call_site
from minigpt.ops import Activation

_SUBLAYERS = {"norm1": "attention", "norm_cross": "cross", "norm2": "mlp"}


class Called(NamedTuple):
    """One call, before it is made.

    Attributes:
        number: of the call in its pass, forward or backward, from 0.
        name: "linear_forward", "add", …
        place: where in the model, such as "blocks.0.attention.qkv".
        site: the statement that called it, where a table asks for sites.
        partner: of a backward call, the number of the forward call that it undoes.
    """

    number: int
    name: str
    place: str
    site: Site | None
    partner: int | None


class Watching:
    """A table of operations. `told` is what subclasses override.

    Attributes:
        sites: whether calls are told with the statement that made them, which takes time.
        backwards: whether the pass at hand is the backward one; whoever runs the model says so.
    """

    sites = False

    def __init__(self, params: Parameters):
        self._names = {_address(x): name for name, x in params.items()}
        self._forward: dict[int, Called] = {}
        self._caches: list[Any] = []  # held, so that no other one gets the same identity
        self._last = ""
        self._count = 0
        self.backwards = False

    def told(self, call: Called, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Any) -> Any:
        """Make the call and return its result."""
        return function(*arguments, **keywords)

    def turn(self) -> None:
        """The forward pass is done; what comes is the backward pass."""
        self.backwards, self._count = True, 0

    FUSED: Mapping[str, Any] = {}

    @property
    def ACTIVATIONS(self) -> Mapping[str, Activation]:
        return {name: (self._wrapped(f), self._wrapped(b)) for name, (f, b) in ops.ACTIVATIONS.items()}

    def __getattr__(self, name: str) -> Any:
        value = getattr(ops, name)
        return self._wrapped(value) if name == "add" or name.endswith(("_forward", "_backward")) else value

    def _wrapped(self, function: Callable[..., Any]) -> Any:
        return partial(self._call, function)

    def _call(self, function: Any, *arguments: Any, **keywords: Any) -> Any:
        name = function.__name__
        if name.startswith("dropout"):  # it is off, and hands on what it is given
            return function(*arguments, **keywords)
        site = call_site(sys._getframe(1)) if self.sites else None
        undone = self._forward.get(id(arguments[1])) if name.endswith("_backward") else None
        place = undone.place if undone else self._place(name, arguments)
        self._last = place if undone or self._owner(arguments) else self._last
        call = Called(self._count, name, place, site, undone.number if undone else None)
        self._count += 1
        result = self.told(call, function, arguments, keywords)
        if name.endswith("_forward"):
            self._forward[id(result[1])] = call
            self._caches.append(result[1])
        return result

    def _owner(self, arguments: tuple[Any, ...]) -> str:
        """The parameter among a call's arguments, without its last word (weight, gain)."""
        for x in arguments[1:]:
            name = self._names.get(_address(x)) if isinstance(x, np.ndarray) else None
            if name is not None:
                return name.removesuffix(".weight").removesuffix(".gain")
        return ""

    def _place(self, name: str, arguments: tuple[Any, ...]) -> str:
        operation, owner = name.removesuffix("_forward"), self._owner(arguments)
        side = _side() if operation in ("embedding", "position") else ""
        if owner == "tokens":
            return f"{side}tokens" if operation == "embedding" else "output"
        if owner or operation in ("cross_entropy", "squared_error"):
            return owner or "loss"
        if operation == "position":
            return f"{side}positions"
        if operation == "embedding":
            return "masked.gather"
        scope, _, word = self._last.rpartition(".")
        if operation == "add":
            owner = f"{scope}.{_SUBLAYERS[word]}" if word in _SUBLAYERS else scope or "embedding"
            return f"{owner}.{self._sum}"
        return f"{scope}.{operation}" if scope else operation

    @property
    def _sum(self) -> str:
        return "join" if self.backwards else "sum"


def _side() -> str:
    """ "encoder." or "decoder." where an embedding is one of two: the statement's function knows which."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and "side" not in frame.f_locals:
        frame = frame.f_back
    side = frame.f_locals["side"] if frame is not None else ""
    return f"{side}." if side in ("encoder", "decoder") else ""


def _address(x: np.ndarray) -> int:
    return x.__array_interface__["data"][0]
