"""Which pairs of a forward and a backward pass a file holds, read from its text: nothing of it is run here.

A pair is two functions (`x_forward` and `x_backward`, `x` and `x_grad`, …), one function that returns its result and a
function for the way back, or a class with the methods `forward` and `backward`.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import Any

from minigpt.core.errors import UserError

_FORWARD = r"forward|fwd|fw"
_BACKWARD = r"backward|backwards|bwd|bw|backprop|grad|gradient|vjp"
_NO_INPUT = {"self", "cls"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function: its name, whether it may be left out, and the keys that it is indexed with."""

    name: str
    optional: bool = False
    default: Any = None
    keys: tuple[str, ...] = ()  # of `params["w"]`: what a dictionary in this place must hold
    attributes: tuple[str, ...] = ()  # of `p.w`


@dataclass(frozen=True)
class Function:
    """What a function's text says: its parameters, the names that it returns, and where it stands."""

    name: str
    line: int
    parameters: tuple[Parameter, ...]
    returns: tuple[str | None, ...]  # the names in `return dx, dw`, None for an expression; () returns nothing
    node: ast.AST = field(compare=False, repr=False)


@dataclass(frozen=True)
class Pair:
    """A forward and a backward pass that belong together.

    Attributes:
        kind: "functions", "closure", "class", or "call" (an adapter of the learner's that does both).
        constructor: of a class.
        zeroed: whether a class makes its gradients zero by itself, so that they are to be added to.
    """

    name: str
    kind: str
    forward: Function
    backward: Function
    class_name: str | None = None
    constructor: Function | None = None
    zeroed: bool = False
    described: dict[str, Any] = field(default_factory=dict)


def read(source: str, file: str) -> ast.Module:
    """Parse a file.

    Raises:
        UserError: it is not Python.
    """
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        at = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise UserError(f"{file}{at} is not Python: {getattr(error, 'msg', error)}") from None


def find_pairs(tree: ast.Module) -> list[Pair]:
    """Every pair of a file, in the order of their backward passes."""
    described = description(tree)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    pairs = [*_of_functions(functions), *_closures(functions), *_classes(tree)]
    for name, told in described.items():
        if not isinstance(told, dict):
            raise UserError(f"CHECK[{name!r}] must be a dictionary")
        if "model" in told:
            continue
        known = next((pair for pair in pairs if pair.name == name), None)
        if known is not None:
            pairs[pairs.index(known)] = Pair(**{**vars(known), "described": told})
        else:
            pairs.append(_described(name, told, functions))
    return sorted(pairs, key=lambda pair: pair.backward.line)


def description(tree: ast.Module) -> dict[str, Any]:
    """The file's `CHECK = {…}`, a literal: it is read, not run.

    Raises:
        UserError: it is no literal dictionary.
    """
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "CHECK" for t in node.targets):
            try:
                told = ast.literal_eval(node.value)
            except (ValueError, TypeError, RecursionError):
                raise UserError(
                    f"line {node.lineno}: CHECK must be written out, with nothing to compute: "
                    'CHECK = {"name": {"inputs": {"x": [2, 5, 3]}}}'
                ) from None
            if isinstance(told, dict):
                return told
            raise UserError(f"line {node.lineno}: CHECK must be a dictionary, of names and what to check them with")
    return {}


def base_name(name: str) -> tuple[str, str] | None:
    """("layernorm", "backward") of layernorm_backward, backward_layernorm, layernorm_bwd; None of other names."""
    low = name.lower().strip("_")
    for kind, words in (("backward", _BACKWARD), ("forward", _FORWARD)):
        for pattern in (rf"(.+?)_?(?:{words})$", rf"(?:{words})_(.+)$"):
            found = re.fullmatch(pattern, low)
            if found and found.group(1).strip("_"):
                return found.group(1).strip("_"), kind
    if low.startswith("d_"):
        return low[2:], "backward"
    return None


def _of_functions(functions: dict[str, ast.FunctionDef]) -> list[Pair]:
    forwards, backwards, plain = {}, {}, {}
    for name, node in functions.items():
        told = base_name(name)
        if told is None:
            plain[name.lower().strip("_")] = node
        else:
            (forwards if told[1] == "forward" else backwards)[told[0]] = node
    pairs = []
    if {"forward", "backward"} <= functions.keys():
        pairs.append(Pair("backward", "functions", function(functions["forward"]), function(functions["backward"])))
    for base, node in backwards.items():
        forward = forwards.get(base) or plain.get(base)
        if forward is not None:
            pairs.append(Pair(base, "functions", function(forward), function(node)))
    return pairs


def _closures(functions: dict[str, ast.FunctionDef]) -> list[Pair]:
    pairs = []
    for name, node in functions.items():
        inner = {n.name: n for n in ast.walk(node) if isinstance(n, ast.FunctionDef) and n is not node}
        for back in _returns(node):
            last = back.value.elts[-1] if isinstance(back.value, ast.Tuple) and back.value.elts else None
            inside = (
                inner.get(last.id) if isinstance(last, ast.Name) else last if isinstance(last, ast.Lambda) else None
            )
            if inside is not None:
                told = base_name(name)
                base = told[0] if told else name.lower().strip("_")
                pairs.append(Pair(base, "closure", function(node), function(inside)))
                break
    return pairs


def _classes(tree: ast.Module) -> list[Pair]:
    pairs = []
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        methods = {n.name: n for n in node.body if isinstance(n, ast.FunctionDef)}
        forward, backward = methods.get("forward") or methods.get("__call__"), methods.get("backward")
        if forward is None or backward is None:
            continue
        made = methods.get("__init__")
        pairs.append(
            Pair(
                node.name,
                "class",
                function(forward),
                function(backward),
                node.name,
                function(made) if made else None,
                _makes_zeros(node),
            )
        )
    return pairs


def _makes_zeros(node: ast.ClassDef) -> bool:
    """Whether a class sets a gradient to zero itself (`self.dw = np.zeros(…)`), and so means to add to it."""
    for method in node.body:
        if not isinstance(method, ast.FunctionDef) or method.name == "backward":
            continue
        for inner in ast.walk(method):
            if isinstance(inner, ast.Call) and getattr(inner.func, "attr", "") in ("zeros", "zeros_like"):
                return True
    return False


def _described(name: str, told: dict[str, Any], functions: dict[str, ast.FunctionDef]) -> Pair:
    """A pair that only CHECK knows of.

    Raises:
        UserError: it names functions that are not there.
    """
    wanted = [told.get("call")] if "call" in told else [told.get("forward", name), told.get("backward")]
    missing = [w for w in wanted if w not in functions]
    if missing:
        raise UserError(
            f'CHECK[{name!r}] must name functions of the file, under "forward" and "backward" or under "call": '
            f"there is no {missing[0]!r}"
        )
    forward, backward = functions[wanted[0]], functions[wanted[-1]]
    return Pair(name, "call" if "call" in told else "functions", function(forward), function(backward), described=told)


def function(node: ast.AST) -> Function:
    """What a function's or lambda's text says."""
    spec = node.args
    plain = [*spec.posonlyargs, *spec.args]
    missing = len(plain) - len(spec.defaults)
    indexed = _indexed(node)
    parameters = []
    for place, (argument, default) in enumerate(
        [
            *zip(plain, [None] * missing + spec.defaults, strict=True),
            *zip(spec.kwonlyargs, spec.kw_defaults, strict=True),
        ]
    ):
        if place == 0 and argument.arg in _NO_INPUT:
            continue
        keys, attributes = indexed.get(argument.arg, ((), ()))
        parameters.append(Parameter(argument.arg, default is not None, _literal(default), keys, attributes))
    return Function(getattr(node, "name", "the lambda"), node.lineno, tuple(parameters), _returned(node), node)


def _indexed(node: ast.AST) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Which constant keys and attributes each name is used with: `p["w"]`, `p.w`."""
    keys: dict[str, dict[str, None]] = {}
    attributes: dict[str, dict[str, None]] = {}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Subscript) and isinstance(inner.value, ast.Name):
            if isinstance(inner.slice, ast.Constant) and isinstance(inner.slice.value, str):
                keys.setdefault(inner.value.id, {})[inner.slice.value] = None
        elif isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
            attributes.setdefault(inner.value.id, {})[inner.attr] = None
    return {n: (tuple(keys.get(n, ())), tuple(attributes.get(n, ()))) for n in {*keys, *attributes}}


def _literal(node: ast.AST | None) -> Any:
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None


def _returns(node: ast.AST) -> list[ast.Return]:
    """The return statements of a function, without those of functions inside it."""
    found, left = [], list(getattr(node, "body", []))
    while left:
        inner = left.pop(0)
        if isinstance(inner, ast.Return):
            found.append(inner)
        if not isinstance(inner, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            left = [*ast.iter_child_nodes(inner), *left]
    return found


def _returned(node: ast.AST) -> tuple[str | None, ...]:
    """The names of what is returned, by the last return statement that returns something."""
    values = [node.body] if isinstance(node, ast.Lambda) else [r.value for r in _returns(node) if r.value is not None]
    if not values or (isinstance(values[-1], ast.Constant) and values[-1].value is None):
        return ()
    last = values[-1]
    items = last.elts if isinstance(last, (ast.Tuple, ast.List)) else [last]
    return tuple(_name_of(item) for item in items)


def _name_of(node: ast.AST) -> str | None:
    """The name that a value goes by: `dx`, `dx` of `dx.reshape(…)`, `dw` of `self.dw`; None of other expressions."""
    while isinstance(node, (ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            node = node.value
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) and node.id not in ("np", "numpy", "xp") else None
