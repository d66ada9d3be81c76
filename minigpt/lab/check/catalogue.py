"""Every mistake that is known of an operation, ready to be run: changes of the reference's source, and some by hand.

A mistake gives gradients for a case as the right backward pass would. `naming.py` looks for the one whose numbers are
the learner's.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from minigpt import ops
from minigpt.lab.check.known import TABLE, Arrays, Case, Operation
from minigpt.lab.check.mutate import changes, compiled, scaled, target_name

KINDS = {  # what a kind is called, and the hint that does not give it away
    "term": ("a term is missing", "Count the paths from the input to the result: does each have its term?"),
    "factor": ("a factor is missing or wrong", "Which numbers was this value multiplied with on the way forward?"),
    "sign": ("a sign is wrong", "Write the derivative of this line alone, and look at its sign."),
    "transpose": ("axes are confused", "Write the shape beside every array of this line: which axis is which?"),
    "axis": ("a sum runs over the wrong axis", "Over which axes was this value spread out forward? Sum over those."),
    "mean": ("a mean and a sum are confused", "Does each position add its share to the loss, or the mean of all?"),
    "variable": ("a wrong array is used", "Which array stood in the forward line? Was it that one that was kept?"),
    "in place": ("an array is overwritten too early", "Which line writes into an array that a later line still reads?"),
    "overwritten": ("`=` where `+=` belongs", "Who else writes into this gradient, or which row comes twice?"),
    "mask": (
        "a mask is forgotten on one of the two ways",
        "What happened forward to the places that count for nothing?",
    ),
    "dropped": ("a gradient is dropped", "Does this input have a gradient at all in your code?"),
    "forward": ("the forward pass computes something else", "Compare your forward line with the equation."),
    "shape": (
        "the gradient has another shape than its array",
        "A gradient has the shape of what it is the gradient of.",
    ),
    "unknown": ("no mistake of the catalogue gives these numbers", "Derive this gradient line by line and compare."),
}


class Mistake(NamedTuple):
    """One mistake.

    Attributes:
        run: (case, fixed settings, the learner's y or None) to gradients.
        line: of `source`, the file of the reference, or 0.
    """

    kind: str
    says: str
    run: Callable[[Case, dict[str, Any], Any], Arrays]
    source: str = ""
    line: int = 0


class Source(NamedTuple):
    """One function of the reference, parsed."""

    module: ModuleType
    name: str
    tree: ast.FunctionDef
    first: int  # the line on which it starts
    file: str
    code: CodeType


@functools.cache
def sources(operation_sources: tuple[str, ...]) -> tuple[Source, ...]:
    found = []
    for path in operation_sources:
        module_name, name = path.split(".")
        package = "minigpt.lab.check" if module_name == "whole_layer" else "minigpt.ops"
        module = import_module(f"{package}.{module_name}")
        lines, first = inspect.getsourcelines(getattr(module, name))
        tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
        assert isinstance(tree, ast.FunctionDef)
        tree.decorator_list, tree.returns = [], None
        found.append(
            Source(module, name, tree, first, package.replace(".", "/") + f"/{module_name}.py", compiled(tree))
        )
    return tuple(found)


def mistakes(operation: Operation) -> Iterator[Mistake]:
    """Those by hand first, as they are the best known; then every change of the source."""
    yield from _by_hand(operation)
    own = sources(operation.sources)
    for source in own:
        extra = ("y", *operation.roles)
        for change in changes(source.tree, extra):
            run = runner(operation, own, source, change.code)
            if run is not None:
                yield Mistake(change.kind, change.says, run, source.file, source.first + change.line - 1)


def scalings(operation: Operation) -> Iterator[tuple[Mistake, str]]:
    """Every statement's value doubled, with the statement's target: what a wrong factor there is measured by."""
    own = sources(operation.sources)
    for source in own:
        for place, statement in enumerate(source.tree.body):
            run = runner(operation, own, source, scaled(source.tree, place, 2.0))
            if run is not None:
                name = target_name(statement)
                yield Mistake("factor", name, run, source.file, source.first + statement.lineno - 1), name


def runner(
    operation: Operation, own: tuple[Source, ...], changed: Source, code: CodeType | None
) -> Callable[[Case, dict[str, Any], Any], Arrays] | None:
    """A function that runs the operation with one of its functions changed; None if it is no program."""
    if code is None:
        return None
    main = own[0]
    space: dict[str, Any] = dict(vars(main.module))
    seen: dict[str, Any] = {}
    space["_seen"] = seen
    for source in reversed(own):
        exec(code if source is changed else source.code, space)
        if source.module is not main.module and source is changed:
            space |= {n: v for n, v in vars(source.module).items() if n not in space}
    table = SimpleNamespace(
        **vars(TABLE) | {source.name: space[source.name] for source in own if hasattr(TABLE, source.name)}
    )
    if operation.name == "rope":
        table.rope_backward = space["rope_backward"]

    def run(case: Case, fixed: dict[str, Any], y: Any) -> Arrays:
        inputs = {name: x.copy() for name, x in case.inputs.items()}
        settings = fixed if y is None else fixed | {"y": y}
        own_y, pullback = operation.reference(table, inputs, settings)
        seen.clear()
        seen.update(inputs, y=own_y)
        dy = fixed["dy"]
        return pullback(dy.copy() if np.ndim(dy) else float(dy))

    return run


def _by_hand(operation: Operation) -> Iterator[Mistake]:
    for kind, says, run in BY_HAND.get(operation.name, ()):
        yield Mistake(kind, says, functools.partial(run, operation))


def _right(operation: Operation, case: Case, fixed: dict[str, Any], y: Any) -> Arrays:
    _, pullback = operation.reference(TABLE, case.inputs, fixed if y is None else fixed | {"y": y})
    return pullback(fixed["dy"] if np.ndim(fixed["dy"]) else float(fixed["dy"]))


def _last_occurrence(operation: Operation, case: Case, fixed: dict[str, Any], y: Any) -> Arrays:
    dtable = np.zeros_like(case.inputs["table"])
    dtable[fixed["ids"]] = fixed["dy"]
    return {"table": dtable}


def _mean_of_occurrences(operation: Operation, case: Case, fixed: dict[str, Any], y: Any) -> Arrays:
    counts = np.bincount(fixed["ids"].reshape(-1), minlength=len(case.inputs["table"]))
    return {"table": _right(operation, case, fixed, y)["table"] / np.maximum(counts, 1)[:, None]}


def _statistics_held(operation: Operation, case: Case, fixed: dict[str, Any], y: Any) -> Arrays:
    """μ and σ as if they did not depend on x."""
    x, gain = case.inputs["x"], case.inputs["gain"]
    centred = x - x.mean(axis=-1, keepdims=True) if operation.name == "layernorm" else x
    scale = 1.0 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + fixed["eps"])
    return _right(operation, case, fixed, y) | {"x": fixed["dy"] * gain * scale}


def _diagonal(operation: Operation, case: Case, fixed: dict[str, Any], y: Any) -> Arrays:
    p, _ = ops.softmax_forward(case.inputs["x"])
    return {"x": fixed["dy"] * p * (1 - p)}


def _without_mask(operation: Operation, case: Case, fixed: dict[str, Any], y: Any) -> Arrays:
    """The probabilities computed once more for the way back, without the mask."""
    bare = fixed | {"mask": ops.NO_MASK, "always_causal": False}
    return _right(operation, case, bare, None)


def _other_gelu(operation: Operation, case: Case, fixed: dict[str, Any], y: Any) -> Arrays:
    form = "gelu_erf" if fixed.get("form") == "gelu_tanh" else "gelu_tanh"
    return _right(operation, case, fixed | {"form": form}, None)


def _probabilities_alone(operation: Operation, case: Case, fixed: dict[str, Any], y: Any) -> Arrays:
    """softmax(z) − onehot without any mean over positions, or with one where the loss is a sum."""
    other = {"mean": "sum", "batch": "sum", "sum": "mean"}.get(fixed.get("reduction", "mean"), "mean")
    return _right(operation, case, fixed | {"reduction": other}, None)


def _ignored_counted(operation: Operation, case: Case, fixed: dict[str, Any], y: Any) -> Arrays:
    """The positions that count for nothing get a gradient as if their target were class 0 … or the last one."""
    targets = fixed["targets"]
    number = max(int((targets != ops.IGNORE).sum()), 1)
    p, _ = ops.softmax_forward(case.inputs["logits"])
    one_hot = np.eye(p.shape[-1])[np.where(targets < 0, targets % p.shape[-1], targets)]
    over = {"mean": number, "sum": 1, "batch": len(p)}.get(fixed.get("reduction", "mean"), 1)
    return {"logits": (p - one_hot) / over * np.asarray(fixed["dy"]).reshape(-1)[0]}


_HELD = "the mean and the spread are held fixed: they depend on x too, and each has its term"
BY_HAND: dict[str, tuple[tuple[str, str, Any], ...]] = {
    "embedding": (
        (
            "overwritten",
            "a token that occurs several times keeps one of its gradients instead of their sum",
            _last_occurrence,
        ),
        (
            "mean",
            "a token that occurs several times gets the mean of its gradients instead of their sum",
            _mean_of_occurrences,
        ),
    ),
    "layernorm": (("term", _HELD, _statistics_held),),
    "rmsnorm": (("term", "the root mean square is held fixed: it depends on x too", _statistics_held),),
    "softmax": (
        ("term", "only the diagonal of the Jacobian is there: every score moves every probability", _diagonal),
    ),
    "attention": (("mask", "the probabilities of the way back are made without the mask", _without_mask),),
    "self-attention": (("mask", "the probabilities of the way back are made without the mask", _without_mask),),
    "gelu": (("variable", "forward is one approximation of GELU, backward the derivative of the other", _other_gelu),),
    "cross-entropy": (
        ("mean", "the loss and its gradient are divided by different numbers of positions", _probabilities_alone),
        ("mask", "positions that are ignored in the loss get a gradient", _ignored_counted),
    ),
}
