"""Where a gradient is wrong: in which cases, at which places of its array, and on which line it is made."""

from __future__ import annotations

import ast
from typing import Any, NamedTuple

import numpy as np

from minigpt.lab.check.asking import Measured
from minigpt.lab.check.judging import FLOOR, SINGLE_BOUND, Gradient, Verdict
from minigpt.lab.testing import ELEMENT_BOUND

_MOST = 4  # indices that are listed


class Place(NamedTuple):
    """One wrong gradient.

    Attributes:
        only: phrases that complete "wrong only …", from the narrowest.
        worst: the place of the largest error, with the learner's number and the right one; None if there is no number.
        lines: where the learner's code makes it.
    """

    only: tuple[str, ...]
    worst: str | None
    lines: tuple[int, ...]


def locate(verdict: Verdict, gradient: Gradient) -> Place:
    """Say where a wrong gradient is wrong."""
    lines = _lines(verdict, gradient)
    if gradient.problem != "values" or not gradient.wrong:
        return Place((), None, lines)
    only = [*_cases(verdict, gradient), *_axes(verdict, gradient)]
    return Place(tuple(dict.fromkeys(only)), _worst(verdict, gradient), lines)


def wrong_elements(verdict: Verdict, role: str, case: int) -> np.ndarray:
    """Which elements of a gradient are off by more than the bound, of the size of the whole gradient."""
    g, truth = _both(verdict, role, case)
    bound = SINGLE_BOUND if verdict.single else ELEMENT_BOUND
    known = np.where(np.isnan(truth), g, truth)
    return ~(np.abs(g - known) <= bound * max(float(np.abs(known).max(initial=0.0)), FLOOR))


def _both(verdict: Verdict, role: str, case: int) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(verdict.measured[case].gradients[role], float), verdict.truths[case][role]


def _cases(verdict: Verdict, gradient: Gradient) -> list[str]:
    """What the wrong cases have in common and no right one has: "with a mask"."""
    asked = [i for i, m in enumerate(verdict.measured) if gradient.role in m.case.inputs]
    right = [i for i in asked if i not in gradient.wrong]
    if not right:
        return []
    if gradient.wrong == [len(verdict.measured) - 1] and len(verdict.measured) > 1:
        return ["where the inputs are not contiguous in memory"]
    common = frozenset.intersection(*(verdict.measured[i].case.tags for i in gradient.wrong))
    elsewhere = frozenset().union(*(verdict.measured[i].case.tags for i in right))
    if common - elsewhere:
        return sorted(common - elsewhere)
    return _by_size(verdict, gradient, right)


def _by_size(verdict: Verdict, gradient: Gradient, right: list[int]) -> list[str]:
    rows = [np.shape(m.y)[0] if np.ndim(m.y) > 1 else 0 for m in verdict.measured]
    if all(rows[i] == 1 for i in right) and all(rows[i] > 1 for i in gradient.wrong):
        return ["where the batch has more than one row"]
    return [f"in the case {verdict.measured[i].case.name}" for i in gradient.wrong[:_MOST]]


def _axes(verdict: Verdict, gradient: Gradient) -> list[str]:
    """Along which axes the wrong elements are some of all, the same way in every wrong case."""
    names = verdict.operation.axes.get(gradient.role, ())
    found: list[str] = []
    for axis, name in enumerate(names):
        phrases = [
            _along(verdict.measured[i], wrong_elements(verdict, gradient.role, i), axis, name) for i in gradient.wrong
        ]
        told = [p for p in phrases if p]
        if told and len(told) == len(phrases):
            found.append(told[0] if len(set(told)) == 1 else told[0] + " (in the first case)")
    first = verdict.measured[gradient.wrong[0]]
    special = _special(first, wrong_elements(verdict, gradient.role, gradient.wrong[0]), gradient.role)
    return [special, *found] if special else found


def _along(m: Measured, wrong: np.ndarray, axis: int, name: str) -> str | None:
    if wrong.ndim <= axis:
        return None
    others = tuple(a for a in range(wrong.ndim) if a != axis)
    touched = np.flatnonzero(wrong.any(axis=others))
    if not len(touched) or len(touched) == wrong.shape[axis]:
        return None
    listed = ", ".join(str(i) for i in touched[:_MOST]) + (", …" if len(touched) > _MOST else "")
    return f"at {name}{'s' if len(touched) > 1 else ''} {listed} of {wrong.shape[axis]}"


def _special(m: Measured, wrong: np.ndarray, role: str) -> str | None:
    """Places with a meaning: tokens that come several times, ignored targets, masked keys."""
    ids, targets, mask = (m.case.fixed.get(name) for name in ("ids", "targets", "mask"))
    if role == "table" and ids is not None:
        counts = np.bincount(np.asarray(ids).reshape(-1), minlength=len(wrong))
        touched = wrong.reshape(len(wrong), -1).any(axis=1)
        if touched.any() and not touched[counts < 2].any():
            return "at tokens that occur more than once"
    if role == "logits" and targets is not None and (np.asarray(targets) < 0).any():
        touched = wrong.any(axis=-1)
        if touched.any() and not touched[targets >= 0].any():
            return "at positions whose target is ignored"
    padding = getattr(mask, "key_padding", None)
    if role in ("k", "v") and padding is not None:
        touched = wrong.any(axis=(2, 3))
        if touched.any() and not touched[padding].any():
            return "at masked keys"
    return None


def _worst(verdict: Verdict, gradient: Gradient) -> str:
    case = gradient.wrong[0]
    g, truth = _both(verdict, gradient.role, case)
    error = np.abs(np.where(np.isfinite(g), g, np.inf) - np.where(np.isnan(truth), g, truth))
    index = np.unravel_index(int(np.argmax(error)), error.shape)
    names = verdict.operation.axes.get(gradient.role, ())
    words = (
        [f"{n} {i}" for n, i in zip(names, index, strict=True)] if len(names) == len(index) else [str(i) for i in index]
    )
    return f"{', '.join(words) or 'the number'}: yours is {g[index]:.6g}, the true one {truth[index]:.6g}"


def _lines(verdict: Verdict, gradient: Gradient) -> tuple[int, ...]:
    """The lines of backward that write into the gradient; the return statement's where it is made there."""
    node = verdict.pair.backward.node
    binding = verdict.binding
    found: list[int] = []
    for inner in ast.walk(node):
        targets: list[ast.AST] = []
        if isinstance(inner, ast.Assign):
            targets = [e for t in inner.targets for e in (t.elts if isinstance(t, ast.Tuple) else [t])]
        elif isinstance(inner, ast.AugAssign):
            targets = [inner.target]
        for target in targets:
            if any(binding.role_of(name) == gradient.role for name in _target_names(target)):
                found.append(inner.lineno)
    if not found:
        found = [r.lineno for r in ast.walk(node) if isinstance(r, ast.Return) and r.value is not None]
    return tuple(sorted(set(found)))


def _target_names(target: ast.AST) -> list[str]:
    """Names that an assignment's target may be known by: dw of `dw[...]`, grads.w of `grads["w"]`, dw of `self.dw`."""
    if isinstance(target, ast.Name):
        return [target.id]
    if isinstance(target, ast.Attribute):
        inner = _target_names(target.value)
        return [target.attr, *(f"{name}.{target.attr}" for name in inner if name != "self")]
    if isinstance(target, ast.Subscript):
        inner = _target_names(target.value)
        if isinstance(target.slice, ast.Constant) and isinstance(target.slice.value, str):
            return [f"{name}.{target.slice.value}" for name in inner]
        return inner
    return []


def as_words(place: Place) -> dict[str, Any]:
    return {"only": list(place.only), "worst": place.worst, "lines": list(place.lines)}
