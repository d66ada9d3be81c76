"""What a learner's names mean: parameters, attributes and results become roles of a known operation.

All of it is read from the text of the file, before anything runs: which argument is the weight, which of backward's is
the gradient that arrives, which are arrays to be added into, which are inputs that are passed once more.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from minigpt.lab.check.finding import Function, Pair, Parameter
from minigpt.lab.check.known import Case, Layout, Operation

_CACHE = {
    "cache",
    "ctx",
    "context",
    "saved",
    "state",
    "mem",
    "memory",
    "tape",
    "store",
    "kept",
    "residuals",
    "c",
    "stash",
    "res",
}
_GRADS = {"grads", "gradients", "grad", "g", "dparams", "gradsdict"}
_ARRIVING = {
    "dy",
    "dout",
    "dz",
    "dl",
    "dloss",
    "doutput",
    "do",
    "upstream",
    "delta",
    "g",
    "grad",
    "gradoutput",
    "gradout",
    "gy",
}
_ARRIVING |= {
    "dprev",
    "dnext",
    "doutputs",
    "dupstream",
    "gout",
    "gradouts",
    "up",
    "gradin",
    "dlogits",
    "dscores",
    "error",
}


class CannotBind(Exception):
    """A sentence that says which name is not understood."""


def plain(name: str) -> str:
    """A name without what makes it differ between people: case and underscores."""
    return "".join(c for c in name.lower() if c.isalnum())


def stripped(name: str) -> str | None:
    """What a gradient is the gradient of: "w" of dw, grad_w, w_grad, w.grad, grads.w; None of other names."""
    parts = name.split(".")
    if parts[-1] in ("grad", "gradient", "g") and len(parts) > 1:
        return plain(parts[-2])
    if len(parts) > 1 and plain(parts[-2]) in _GRADS:
        return stripped(parts[-1]) or plain(parts[-1])
    low = parts[-1].lower()
    for pattern in (
        r"(?:grad|gradient|delta)_?(?:wrt_)?(.+)",
        r"(.+?)_?(?:grad|gradient|grads)",
        r"[dg]_?(.+)",
        r"(.+)_d",
    ):
        found = re.fullmatch(pattern, low)
        if found:
            return plain(found.group(1))
    return None


@dataclass(frozen=True)
class Binding:
    """Which role or setting each of a pair's names stands for.

    Attributes:
        forward, constructor: parameter to role, or to a dictionary of them (`params["w"]`, `p.w`).
        backward: (parameter, source) in order, as `child.py` reads them.
        attributes: whether arrays are looked for on the object, too.
    """

    operation: Operation
    pair: Pair
    forward: dict[str, Any]
    constructor: dict[str, Any]
    backward: list[tuple[str, str]]
    layouts: list[Layout] = field(default_factory=list)

    @property
    def bound(self) -> set[str]:
        """The roles and settings that the learner's code takes as arguments."""
        found = set()
        for value in [*self.forward.values(), *self.constructor.values()]:
            found |= set(value["keys"].values()) if isinstance(value, dict) else {value}
        return found

    @property
    def is_class(self) -> bool:
        return self.pair.kind == "class"

    def usable(self, case: Case, always_causal: bool = False) -> bool:
        """Whether the learner's code can be asked this case."""
        bound = self.bound
        if "masked" in case.needs and not bound & {"mask", "causal"} and not always_causal:
            return False
        if always_causal and ("at T ≠ S" in case.tags or "with a mask (padded)" in case.tags):
            return False
        if case.needs - {"masked"} - bound:
            return False
        given = bound | ({*self.operation.roles} if self.is_class else set())
        fused = {
            part
            for layout in self.operation.layouts
            for whole, parts in layout.fused.items()
            for part in parts
            if whole in given
        }
        if not set(case.inputs) <= given | fused:
            return False
        for parameter in self.pair.forward.parameters:
            role = self.forward.get(parameter.name)
            missing = isinstance(role, str) and role in self.operation.roles and role not in case.inputs
            if missing and not parameter.optional and not role.endswith("qkv"):
                return False
        return True

    def role_of(self, name: str) -> str | None:
        """The role that a gradient's name belongs to: "weight" of dw."""
        parts = name.split(".")
        whole = plain(parts[-1]) if len(parts) > 1 and plain(parts[-2]) in _GRADS else None
        for base in filter(None, (whole, stripped(name))):
            for parameter, role in self._named():
                if plain(parameter) == base:
                    return role
            if found := match(base, self.operation.roles, set()):
                return found
        return None

    def _named(self) -> list[tuple[str, str]]:
        pairs = []
        for parameter, role in [*self.forward.items(), *self.constructor.items()]:
            pairs += list(role["keys"].items()) if isinstance(role, dict) else [(parameter, role)]
        return [(name, role) for name, role in pairs if role in self.operation.roles]


def match(name: str, words: dict[str, tuple[str, ...]], taken: set[str]) -> str | None:
    """The first role or setting that a plain name may mean and that is not taken."""
    exact = [role for role in words if plain(role) == name and role not in taken]
    found = exact or [role for role, known in words.items() if name in known and role not in taken]
    return found[0] if found else None


def candidates(name: str, operations: tuple[Operation, ...]) -> list[Operation]:
    """The operations that a pair's name may mean, the longest alias first."""
    low = plain(name)
    scored = []
    for operation in operations:
        fits = [alias for alias in operation.aliases if alias == low or (len(alias) > 3 and alias in low)]
        if fits:
            scored.append((max(map(len, fits)), operation))
    return [operation for _, operation in sorted(scored, key=lambda item: -item[0])]


def bind(pair: Pair, operation: Operation) -> Binding:
    """Give every parameter its meaning.

    Raises:
        CannotBind: one that must be given has none.
    """
    taken: set[str] = set()
    constructor: dict[str, Any] = {}
    if pair.constructor is not None:
        constructor = _bind(pair.constructor, operation, taken, settings_first=True)
    forward = _bind(pair.forward, operation, taken, settings_first=False)
    if pair.kind != "class":
        fused = {whole: parts for layout in operation.layouts for whole, parts in layout.fused.items()}
        have = taken | {part for whole in taken for part in fused.get(whole, ())}
        first = next(iter(operation.roles))
        needed = [r for r in _needed(operation) if r not in have]
        if needed or first not in have:
            raise CannotBind(f"{pair.forward.name} has no argument for {', '.join(needed) or first}")
    return Binding(operation, pair, forward, constructor, backward_plan(pair, forward, operation))


def _needed(operation: Operation) -> list[str]:
    """The roles without which there is nothing to compute: those of every case."""
    common = set.intersection(*(set(case.inputs) for case in operation.cases))
    return [role for role in operation.roles if role in common]


def _bind(function: Function, operation: Operation, taken: set[str], *, settings_first: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    both = {**operation.settings, **operation.roles} if settings_first else {**operation.roles, **operation.settings}
    left: list[Parameter] = []
    for parameter in function.parameters:
        words = operation.settings if settings_first and parameter.optional else both
        role = match(plain(parameter.name), words, taken)
        if role is None and (keys := _keys(parameter, operation, taken)):
            found[parameter.name] = keys
            taken |= set(keys["keys"].values())
        elif role is not None:
            found[parameter.name] = role
            taken.add(role)
        elif not parameter.optional:
            left.append(parameter)
    order = operation.settings if settings_first else operation.roles
    for parameter in left:
        free = [role for role in order if role not in taken]
        if not free:
            raise CannotBind(
                f"{function.name}'s argument {parameter.name!r} is not one that {operation.name} is known to have"
            )
        found[parameter.name] = free[0]
        taken.add(free[0])
    return found


def _keys(parameter: Parameter, operation: Operation, taken: set[str]) -> dict[str, Any] | None:
    """The roles in a dictionary (`params["w"]`) or an object (`p.w`) of parameters."""
    for kind, names in (("dict", parameter.keys), ("object", parameter.attributes)):
        roles: dict[str, str] = {}
        for name in names:
            role = match(plain(name), {**operation.roles, **operation.settings}, taken | set(roles.values()))
            if role is not None:
                roles[name] = role
        if roles and len(roles) == len(names):
            return {"kind": kind, "keys": roles}
    return None


def backward_plan(pair: Pair, forward: dict[str, Any], operation: Operation | None) -> list[tuple[str, str]]:
    """Where each of backward's arguments comes from.

    Raises:
        CannotBind: one that must be given comes from nowhere.
    """
    parameters = pair.backward.parameters
    if pair.kind == "call":
        return []
    if pair.kind == "closure":
        return [(p.name, "dy") for p in parameters[:1]]
    inputs = {plain(p.name): p.name for p in pair.forward.parameters}
    returned = {plain(name): i for i, name in enumerate(pair.forward.returns) if name is not None}
    plan: list[tuple[str, str]] = []
    open_ones: list[Parameter] = []
    for parameter in parameters:
        source = _source(parameter, inputs, returned, forward, operation)
        if source is None:
            open_ones.append(parameter)
        plan.append((parameter.name, source or ""))
    arriving = _arriving(open_ones, any(s == "dy" for _, s in plan))
    settled = []
    for name, source in plan:
        parameter = next(p for p in parameters if p.name == name)
        if not source and parameter is arriving:
            source = "dy"
        if not source and not parameter.optional:
            source = _last_resort(pair, parameter, settled)
        if source:
            settled.append((name, source))
    return settled


def _source(
    parameter: Parameter,
    inputs: dict[str, str],
    returned: dict[str, int],
    forward: dict[str, Any],
    operation: Operation | None,
) -> str | None:
    name = plain(parameter.name)
    if name in inputs:
        return f"input:{inputs[name]}"
    if returned.get(name, 0) > 0:
        return f"returned:{returned[name]}"
    if name in _CACHE:
        return "cache"
    base = stripped(parameter.name)
    if base is not None and base in inputs:
        return f"zeros:{inputs[base]}"
    if base is not None and base in returned:
        return "dy"
    if name in returned:
        return "y"
    if name in _ARRIVING:
        return None
    if operation is not None:
        for role, put in ((base, "zeros"), (name, "input")):
            meant = match(role, operation.roles, set()) if role else None
            for learner, own in forward.items():
                if meant is not None and own == meant:
                    return f"{put}:{learner}"
    return None


def _arriving(parameters: list[Parameter], known: bool) -> Parameter | None:
    """Which of several is the gradient that arrives: by its name, else the first."""
    if known or not parameters:
        return None
    needed = [p for p in parameters if not p.optional] or parameters
    named = [p for p in parameters if plain(p.name) in _ARRIVING]
    looks = [p for p in needed if re.match(r"(d|g|up|delta|grad)", p.name.lower())]
    return (named or looks or needed)[0]


def _last_resort(pair: Pair, parameter: Parameter, plan: list[tuple[str, str]]) -> str:
    """A name that nothing explains is the cache, if that has not been passed yet, or else the result."""
    passed = {source for _, source in plan}
    if len(pair.forward.returns) > 1 and not passed & {"cache"}:
        return "cache"
    if "y" not in passed:
        return "y"
    raise CannotBind(f"it is not clear what {pair.backward.name}'s argument {parameter.name!r} is")


def described(value: Any, put: Any) -> dict[str, Any]:
    """A value as `child.py` reads it: arrays by name, the rest as JSON."""
    if hasattr(value, "dtype") and getattr(value, "ndim", None) is not None and not isinstance(value, bool):
        return {"array": put(value)}
    if hasattr(value, "item"):
        value = value.item()
    try:
        json.dumps(value)
    except TypeError:
        return {"json": None}
    return {"json": value}
