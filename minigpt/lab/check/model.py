"""The verdict on a whole model: along one direction of all parameters, then of each alone, then element by element.

The learner's adapter, a function named in CHECK, returns the parameters by name, `loss()` and `gradients()`.
Parameters are set to values of order one, gains around 1: with those of a fresh model most mistakes do not show.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigpt.lab.check.asking import STEP
from minigpt.lab.check.catalogue import KINDS
from minigpt.lab.check.judging import RIGHT, UNJUDGED, WRONG, Verdict, relative
from minigpt.lab.check.known import SMALL
from minigpt.lab.check.repair import Edit, edits_in
from minigpt.lab.check.sandbox import Answer, Limits, run_job
from minigpt.lab.testing import DIRECTION_BOUND, random_direction

_FLOOR = 1e-3
_MOST_ELEMENTS = 500  # of a parameter, where its gradient is looked at element by element
_AT_ONCE = 400  # changes that one process tries
_LOOKED_AT = 4  # wrong parameters, element by element
_LIMITS = Limits(cpu=40, wall=240.0)


@dataclass(eq=False)
class ParameterVerdict:
    """One parameter: |⟨g, u⟩ − n| relative to the gradient's size, along a random direction of its own."""

    name: str
    error: float
    problem: str = ""  # "", "values", "missing", "shape"
    numeric: np.ndarray | None = None
    gradient: np.ndarray | None = None
    factor: float | None = None  # ⟨g, u⟩ / n


@dataclass
class ModelVerdict:
    """What was found out about a whole model."""

    name: str
    status: str = UNJUDGED
    reason: str = ""
    error: float | None = None
    parameters: list[ParameterVerdict] = field(default_factory=list)
    guilty: list[str] = field(default_factory=list)
    kind: str = ""
    says: str = ""
    answer: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[ParameterVerdict]:
        return [p for p in self.parameters if p.problem]

    def text(self, level: str) -> str:
        lines = [f"model {self.name}: {self.status.upper() if self.status == WRONG else self.status}"]
        if self.reason:
            lines.append(f"  {self.reason}")
        if self.error is not None:
            lines.append(
                f"  along a random direction of all parameters: off by {self.error:.2g} (bound {DIRECTION_BOUND:.0e})"
            )
        for p in self.wrong:
            problem = {"missing": "has no gradient", "shape": "has a gradient of another shape"}
            lines.append(f"  {p.name} {problem.get(p.problem, f'is off by {p.error:.2g}')}")
        good = [p.name for p in self.parameters if not p.problem]
        if good and self.status == WRONG:
            lines.append(f"  right: {', '.join(good)}")
        if self.guilty:
            lines.append(f"  where: {', '.join(self.guilty)}")
        if self.kind and level == "hint":
            lines.append(f"  hint: {KINDS[self.kind][1]}")
        elif self.kind:
            lines.append(f"  mistake: {KINDS[self.kind][0]}: {self.says}")
            if level == "answer" and self.answer:
                lines.append(f"  answer: {self.answer}")
        if self.status == WRONG:
            lines.append("  read: notebook 6, “The whole model's gradient”")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "status": self.status,
            "reason": self.reason or None,
            "error": self.error,
            "parameters": [{"name": p.name, "error": p.error, "problem": p.problem or None} for p in self.parameters],
            "where": self.guilty,
            "mistake": {"kind": self.kind, "says": self.says, "answer": self.answer} if self.kind else None,
            "notes": self.notes,
        }


def judge_model(
    name: str, described: dict[str, Any], source: str, tree: ast.Module, pairs: list[Verdict], limits: Limits | None
) -> ModelVerdict:
    """Check a whole model.

    Args:
        described: CHECK's entry: "model" names the adapter, "tokens" gives the ids that a table is indexed with.
        pairs: the verdicts on the operations of the same file: a wrong one among them is the first suspect.
    """
    verdict = ModelVerdict(name)
    asked = _Asked(source, str(described["model"]), limits or _LIMITS)
    first = asked.run({})
    if _failed(verdict, first):
        return verdict
    start = {n: first.arrays[a] for n, a in first.told.get("parameters", {}).items() if a in first.arrays}
    if not start or any(x.dtype.kind != "f" for x in start.values()):
        verdict.reason = "the adapter's parameters must be a dictionary of arrays of floating-point numbers"
        return verdict
    if any(x.dtype != np.float64 for x in start.values()):
        verdict.reason = "the adapter's parameters must be float64: finite differences need its digits"
        return verdict
    values = {n: _order_one(x, i) for i, (n, x) in enumerate(start.items())}
    answer = asked.run(asked.question(values))
    if _failed(verdict, answer):
        return verdict
    _judge(verdict, answer, values)
    if verdict.status == WRONG:
        _look_closer(verdict, asked, values, described.get("tokens", {}))
        _name(verdict, described, asked, values, source, tree, pairs)
    return verdict


class _Asked:
    """Questions about one model, each to a process of its own."""

    def __init__(self, source: str, adapter: str, limits: Limits) -> None:
        self.source, self.adapter, self.limits = source, adapter, limits
        self.arrays: dict[str, np.ndarray] = {}

    def question(self, values: dict[str, np.ndarray], elements: list[str] | None = None) -> dict[str, Any]:
        self.arrays = {f"v{i}": x for i, x in enumerate(values.values())}
        self.arrays |= {f"u{i}": random_direction(x.shape, i) for i, x in enumerate(values.values())}
        return {
            "values": {n: f"v{i}" for i, n in enumerate(values)},
            "directions": {n: f"u{i}" for i, n in enumerate(values)},
            "h": STEP,
            "elements": elements or [],
        }

    def run(self, question: dict[str, Any], **more: Any) -> Answer:
        job = {"model": {"adapter": self.adapter, **question}, "budget": self.limits.cpu * 0.6, **more}
        return run_job(self.source, job, self.arrays, self.limits)


def _failed(verdict: ModelVerdict, answer: Answer) -> bool:
    if answer.failure:
        verdict.reason = answer.failure
    elif "error" in answer.told:
        error = answer.told["error"]
        line = f"line {error.get('line')}: " if error.get("line") else ""
        verdict.reason = f"{line}{error.get('stage')} raised {error.get('type')}: {error.get('message')}"
    return bool(verdict.reason)


def _order_one(x: np.ndarray, seed: int) -> np.ndarray:
    """Values N(0, 0.3²), around 1 where all are 1 (a gain)."""
    mean = 1.0 if x.size and (x == 1).all() else 0.0
    return mean + SMALL * np.random.default_rng([seed, 7]).standard_normal(x.shape)


def _slope(losses: list[float]) -> float:
    a, b, c, d = losses
    return (a - 8 * b + 8 * c - d) / (12 * STEP)


def _judge(verdict: ModelVerdict, answer: Answer, values: dict[str, np.ndarray]) -> None:
    told = answer.told
    gradients = {n: answer.arrays.get(a) if a else None for n, a in told.get("gradients", {}).items()}
    total, size = 0.0, 0.0
    for i, (name, value) in enumerate(values.items()):
        g, u = gradients.get(name), random_direction(value.shape, i)
        slope = _slope(told["slopes"][name]) if name in told.get("slopes", {}) else None
        found = ParameterVerdict(name, 0.0, gradient=g)
        if g is None:
            found.problem = "missing" if slope is None or abs(slope) > 1e-9 else ""
        elif g.shape != value.shape:
            found.problem = "shape"
        else:
            along = float((g * u).sum())
            total, size = total + along, size + float((g * g).sum())
            if slope is not None:
                found.error = abs(along - slope) / max(float(np.linalg.norm(g)), _FLOOR)
                found.problem = "" if found.error <= DIRECTION_BOUND else "values"
                found.factor = along / slope if abs(slope) > 1e-9 else None
        verdict.parameters.append(found)
    verdict.error = abs(total - _slope(told["all"])) / max(size**0.5, _FLOOR)
    verdict.status = WRONG if verdict.wrong or not verdict.error <= DIRECTION_BOUND else RIGHT
    if verdict.status == RIGHT and abs(_slope(told["all"])) < 1e-12:
        verdict.status, verdict.reason = UNJUDGED, "the loss depends on none of the parameters"
    left = len(values) - len(told.get("slopes", {}))
    if left:
        verdict.notes.append(f"{left} parameters were not looked at alone: the loss is too slow")


def _look_closer(verdict: ModelVerdict, asked: _Asked, values: dict[str, np.ndarray], tables: Any) -> None:
    """The numeric gradient of what is wrong, element by element."""
    small = [p.name for p in verdict.wrong if values[p.name].size <= _MOST_ELEMENTS]
    small.sort(key=lambda n: (n not in tables, values[n].size))
    answer = asked.run(asked.question(values, small[:_LOOKED_AT]))
    for p in verdict.wrong:
        losses = answer.arrays.get(answer.told.get("elements", {}).get(p.name, ""))
        if losses is not None and losses.shape == (values[p.name].size, 4):
            p.numeric = np.array([_slope(list(row)) for row in losses]).reshape(values[p.name].shape)
            if p.gradient is not None and p.gradient.shape == p.numeric.shape:
                p.error = relative(p.gradient, p.numeric)


def _name(
    verdict: ModelVerdict,
    described: dict[str, Any],
    asked: _Asked,
    values: dict[str, np.ndarray],
    source: str,
    tree: ast.Module,
    pairs: list[Verdict],
) -> None:
    """Who is guilty: an operation of the file that is wrong by itself, or the way in which they are joined."""
    suspects = _innermost([v for v in pairs if v.status == WRONG and v.gradients and v.wrong])
    if suspects:
        verdict.guilty = [f"{v.pair.class_name or v.pair.forward.name}, line {v.pair.backward.line}" for v in suspects]
        found = next((v.explanation for v in suspects if v.explanation), None)
        if found is not None:
            verdict.kind, verdict.says, verdict.answer = found.kind, found.says, found.code
        return
    if len(verdict.wrong) == 1:
        p = verdict.wrong[0]
        told = _rows(p, described.get("tokens", {}).get(p.name))
        if told:
            verdict.kind, verdict.says = told
            verdict.guilty = [f"where {p.name} is joined: each operation is right by itself"]
            return
    told = _multiple(verdict)
    if told is not None:
        verdict.kind, verdict.says = told
        return
    edit = _repaired(verdict, asked, values, source, tree)
    if edit is not None:
        verdict.guilty, verdict.kind, verdict.says = [f"line {edit.line}"], edit.kind, f"line {edit.line}: {edit.says}"
        verdict.answer = f"`{edit.new}` in place of `{edit.before}`"
        return
    verdict.kind, verdict.says = "unknown", "no mistake that is known here gives these numbers"


def _innermost(suspects: list[Verdict]) -> list[Verdict]:
    """Those that call no other suspect: attention is wrong too where it calls a wrong softmax."""
    names = {v.pair.backward.name: v for v in suspects if v.pair.kind == "functions"}
    return [
        v
        for v in suspects
        if not any(
            isinstance(n, ast.Name) and n.id in names and names[n.id] is not v for n in ast.walk(v.pair.backward.node)
        )
    ]


def _rows(p: ParameterVerdict, ids: Any) -> tuple[str, str] | None:
    """A table of tokens that the output layer uses too: which of its two parts is lost, or which occurrences."""
    g, t = p.gradient, p.numeric
    if p.problem == "missing" or (g is not None and not np.abs(g).any()):
        return "dropped", f"the gradient of {p.name} stays zero: nothing arrives"
    if g is None or t is None or g.ndim != 2 or g.shape != t.shape:
        return None
    size = max(float(np.abs(t).max()), _FLOOR)
    wrong = (np.abs(g - t) > 1e-6 * size).any(axis=1)
    empty = (np.abs(g) < 1e-12).all(axis=1) & (np.abs(t) > 1e-6 * size).any(axis=1)
    if empty.any() and not (empty == wrong).all() | empty.all():
        return "dropped", f"rows {_listed(empty)} of {p.name} get nothing: the part of the tied output layer is lost"
    if ids is not None:
        counts = np.bincount(np.asarray(ids).reshape(-1), minlength=len(g))
        if wrong.any() and not wrong[counts < 2].any():
            return "overwritten", f"tokens that occur more than once keep one of their gradients in {p.name}"
        if wrong.any() and not wrong[counts == 0].any():
            return "dropped", f"the part of {p.name} that comes from looking tokens up is lost"
    if empty.any():
        return "dropped", f"rows {_listed(empty)} of {p.name} get nothing: the part of the tied output layer is lost"
    return None


def _listed(rows: np.ndarray) -> str:
    return ", ".join(str(i) for i in np.flatnonzero(rows)[:6])


def _multiple(verdict: ModelVerdict) -> tuple[str, str] | None:
    """Wrong parameters that all are the same multiple of the truth."""
    factors = [p.factor for p in verdict.wrong if p.factor is not None]
    for p in verdict.wrong:
        if p.gradient is None or p.factor is None:
            return None
        if p.numeric is not None and relative(p.gradient, p.factor * p.numeric) > 1e-5:
            return None
    if factors and max(factors) - min(factors) < 1e-4 * max(1e-9, max(map(abs, factors))):
        kind = "sign" if abs(factors[0] + 1) < 1e-4 else "factor"
        which = (
            "the whole gradient"
            if len(factors) == len(verdict.parameters)
            else f"that of {', '.join(p.name for p in verdict.wrong)}"
        )
        return kind, f"{which} is the true one times {factors[0]:.6g}"
    return None


def _repaired(
    verdict: ModelVerdict, asked: _Asked, values: dict[str, np.ndarray], source: str, tree: ast.Module
) -> Edit | None:
    """One change in a backward pass of the file after which the whole gradient is right."""
    nodes = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.FunctionDef) and any(w in n.name.lower() for w in ("back", "grad", "bwd"))
    ]
    edits = [edit for node in nodes for edit in edits_in(node, source)]
    edits.sort(key=lambda e: e.rank)
    truth = {p.name: p.numeric for p in verdict.wrong if p.numeric is not None}
    if not truth:
        return None
    truth |= {p.name: p.gradient for p in verdict.parameters if not p.problem and p.gradient is not None}
    for start in range(0, len(edits), _AT_ONCE):
        some = edits[start : start + _AT_ONCE]
        answer = asked.run(asked.question(values), edits=[[e.start, e.end, e.new] for e in some])
        for edit, told in zip(some, answer.told.get("edited", []), strict=False):
            if told and all(_close(answer.arrays.get(told.get(n) or ""), t) for n, t in truth.items()):
                return edit
    return None


def _close(g: np.ndarray | None, t: np.ndarray) -> bool:
    return g is not None and g.shape == t.shape and relative(g, t) <= 1e-6
