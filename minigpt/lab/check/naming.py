"""The name of a mistake: whose numbers are the learner's?

The learner's wrong gradients are compared with simple relatives of the true ones (zero, the negative, a multiple, the
last row's alone) and with those of every mistake of the catalogue, on three inputs. What agrees on all of them is the
explanation; the rest of it is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigpt.lab.check.asking import Measured, reference
from minigpt.lab.check.catalogue import KINDS, Mistake, mistakes, scalings
from minigpt.lab.check.judging import Verdict
from minigpt.lab.check.known import HEADS_FIRST, Arrays, Case
from minigpt.lab.check.repair import repair
from minigpt.lab.check.sandbox import Limits

INPUTS = 3
PACKAGE = Path(__file__).resolve().parents[3]


class Explanation(NamedTuple):
    """What is wrong, in words.

    Attributes:
        kind: a key of `catalogue.KINDS`.
        says: one sentence.
        hint: one that does not give the answer away.
        derivation: the line of the derivation that is broken ("O = A V: dV = Aᵀ dO").
        code: the right line of the library, with its file and number.
        lesson: where it is derived.
        roles: the gradients that it explains.
    """

    kind: str
    says: str
    hint: str
    derivation: str = ""
    code: str = ""
    lesson: str = ""
    roles: tuple[str, ...] = ()


def explain(verdict: Verdict, source: str, limits: Limits | None = None) -> Explanation | None:
    """Name what is wrong with a pair that was found wrong; None where the reason says all, as with an error raised."""
    wrong = verdict.wrong
    if not wrong and not verdict.forward_wrong:
        return None
    if not wrong:
        return _made(verdict, "forward", "forward does not compute what its name says", ())
    found = _by_problem(verdict)
    roles = [g.role for g in wrong if g.problem == "values"]
    if found is None and verdict.operation is not None and verdict.operation.reference is not None:
        found = (
            _nothing(verdict, roles)
            or _changed_in_place(verdict, roles)
            or _of_catalogue(verdict, roles, everything=True, kinds=None)
            or _relative(verdict, roles)
            or _scaling(verdict, roles)
        )
    elif found is None:
        found = _nothing(verdict, roles) or _relative(verdict, roles)
    return found or _repaired(verdict, source, limits) or _one_by_one(verdict, roles) or _unknown(verdict)


def _nothing(verdict: Verdict, roles: list[str]) -> Explanation | None:
    gradients = [m.gradients[r] for m in verdict.measured for r in roles if r in m.gradients]
    if gradients and not any(np.abs(g).any() for g in gradients):
        return _made(verdict, "dropped", "it stays zero: nothing arrives", tuple(roles))
    return None


def _one_by_one(verdict: Verdict, roles: list[str]) -> Explanation | None:
    """Several mistakes at once: the first of the wrong gradients that has a name alone."""
    if verdict.operation is None or verdict.operation.reference is None or len(roles) < 2:
        return None
    for role in roles:
        found = _relative(verdict, [role]) or _of_catalogue(verdict, [role], everything=False, kinds=None)
        if found is not None:
            return found
    return None


def _repaired(verdict: Verdict, source: str, limits: Limits | None) -> Explanation | None:
    """The place in the learner's own code where one change makes everything right."""
    edit = repair(verdict, source, limits)
    if edit is None:
        return None
    kind, says = edit.kind, f"line {edit.line}: {edit.says}"
    if kind in ("factor", "variable", "term") and any("\0dy" in m.changed for m in verdict.measured):
        kind, says = "in place", f"what arrives is changed in place before line {edit.line} reads it"
    found = _made(verdict, kind, says, tuple(g.role for g in verdict.wrong))
    return found._replace(code=f"line {edit.line}: `{edit.new}` in place of `{edit.before}`")


def _unknown(verdict: Verdict) -> Explanation:
    return _made(
        verdict, "unknown", "no mistake that is known here gives these numbers", tuple(g.role for g in verdict.wrong)
    )


def _made(
    verdict: Verdict, kind: str, says: str, roles: tuple[str, ...], mistake: Mistake | None = None
) -> Explanation:
    derivation = code = ""
    if mistake is not None and mistake.line:
        code, derivation = _line(mistake.source, mistake.line)
    lesson = verdict.operation.lesson if verdict.operation is not None else ""
    return Explanation(kind, says, KINDS[kind][1], derivation, code, lesson, roles)


def _line(file: str, number: int) -> tuple[str, str]:
    """A line of the library with its place, and the comment on it, which quotes the derivation."""
    try:
        text = (PACKAGE / file).read_text(encoding="utf-8").splitlines()[number - 1].strip()
    except (OSError, IndexError):
        return "", ""
    comment = re.search(r"#\s*(.*)$", text)
    return f"{file}, line {number}: {text}", comment.group(1) if comment else ""


def _by_problem(verdict: Verdict) -> Explanation | None:
    """Mistakes that show in something else than the numbers."""
    wrong = verdict.wrong
    for problem, kind, says in (
        ("overwritten", "overwritten", "what was there before is lost"),
        ("shape", "shape", "the gradient's shape is not that of its array"),
        (
            "not repeatable",
            "in place",
            "a second backward pass gives something else: the first has changed what forward kept",
        ),
    ):
        roles = tuple(g.role for g in wrong if g.problem == problem)
        if roles and len(roles) == len(wrong):
            return _made(verdict, "transpose" if _turned(verdict) else kind, says, roles)
    missing = tuple(g.role for g in wrong if g.problem == "missing")
    if missing and len(missing) == len(wrong):
        return _made(verdict, "dropped", "backward gives no gradient for it", missing)
    return None


def _turned(verdict: Verdict) -> bool:
    return any(
        g.problem == "shape" and g.shape[::-1] == m.case.inputs[g.role].shape
        for g in verdict.wrong
        for m in verdict.measured[:1]
        if g.role in m.case.inputs
    )


def _told(verdict: Verdict, roles: list[str]) -> list[tuple[Measured, Arrays]]:
    """The cases to compare on: those in which something is wrong first, at least three if there are."""
    seen: dict[str, tuple[Measured, Arrays]] = {}
    wrong = {i for g in verdict.wrong if g.role in roles for i in g.wrong}
    order = sorted(range(len(verdict.measured)), key=lambda i: (i not in wrong, i))
    for i in order:
        m = verdict.measured[i]
        seen.setdefault(m.case.name, (m, verdict.truths[i]))
    return list(seen.values())


def _bound(verdict: Verdict) -> float:
    return 1e-3 if verdict.single else 1e-6


def _same(a: Any, b: Any, bound: float) -> bool:
    if a is None or b is None or np.shape(a) != np.shape(b):
        return False
    size = max(float(np.abs(a).max(initial=0.0)), float(np.abs(b).max(initial=0.0)), 1e-6)
    error = float(np.abs(np.asarray(a, dtype=np.float64) - b).max(initial=0.0))
    return bool(np.isfinite(error)) and error <= bound * size


def _of_catalogue(verdict: Verdict, roles: list[str], everything: bool, kinds: set[str] | None) -> Explanation | None:
    """The first mistake whose gradients are the learner's on three inputs."""
    told, bound = _told(verdict, roles), _bound(verdict)
    if not told or not roles:
        return None
    with np.errstate(all="ignore"):
        for mistake in mistakes(verdict.operation):
            if kinds is not None and mistake.kind not in kinds:
                continue
            if all(_agrees(verdict, mistake, m, roles, everything, bound) for m, _ in told[: max(INPUTS, 1)]) and all(
                _agrees(verdict, mistake, m, roles, everything, bound) for m, _ in told[INPUTS:]
            ):
                return _made(verdict, mistake.kind, mistake.says, tuple(roles), mistake)
    return None


def _agrees(verdict: Verdict, mistake: Mistake, m: Measured, roles: list[str], everything: bool, bound: float) -> bool:
    g = _run(verdict, mistake, m)
    compared = [*m.gradients] if everything else roles
    return g is not None and all(_same(g.get(r), m.gradients.get(r), bound) for r in compared if r in m.case.inputs)


def _run(verdict: Verdict, mistake: Mistake, m: Measured) -> Arrays | None:
    y = m.y if verdict.operation.name == "dropout" else None
    try:
        return mistake.run(m.case, m.case.fixed | verdict.variant.fixed, y)
    except Exception:  # a change that does not fit this case: shapes, a name that is not there yet
        return None


def _changed_in_place(verdict: Verdict, roles: list[str]) -> Explanation | None:
    """If the learner's code changes its arguments, a mistake in place is what to look for first."""
    if not any(m.changed for m in verdict.measured):
        return None
    found = _of_catalogue(verdict, roles, True, {"in place", "variable"})
    return found and found._replace(kind="in place", hint=KINDS["in place"][1])


def _relative(verdict: Verdict, roles: list[str]) -> Explanation | None:
    """Wrong gradients that are simple relatives of the true ones, all of them by the same relation."""
    told, bound = _told(verdict, roles), _bound(verdict)
    told = [(m, t) for m, t in told if all(r in t for r in roles if r in m.case.inputs)]
    if not told or not roles:
        return None
    pairs = [(m, r, np.asarray(m.gradients[r], float), t[r]) for m, t in told for r in roles if r in m.gradients]
    pairs = [p for p in pairs if np.isfinite(p[3]).all()]
    if not pairs:
        return None
    factor = _factor(pairs, bound)
    if factor is not None:
        return _made(verdict, *factor, tuple(roles))
    for says, turn in _turns():
        if all(_same(turn(t), g, bound) for _, _, g, t in pairs):
            return _made(verdict, "transpose", says, tuple(roles))
    if verdict.operation.reference is not None:
        return _one_part(verdict, pairs, roles, bound)
    return None


def _factor(pairs: list[tuple[Measured, str, np.ndarray, np.ndarray]], bound: float) -> tuple[str, str] | None:
    """A multiple of the truth: the negative, or a factor that is constant or comes from the sizes."""
    factors = []
    for m, _, g, t in pairs:
        c = float((g * t).sum()) / max(float((t * t).sum()), 1e-300)
        if not _same(c * t, g, bound):
            return None
        if not _same(t, g, bound):
            factors.append((m.case, m, c))
    if not factors:
        return None
    return _named_factor(factors)


def _named_factor(factors: list[tuple[Case, Measured, float]]) -> tuple[str, str] | None:
    values = [c for _, _, c in factors]
    if all(abs(c + 1) < 1e-5 for c in values):
        return "sign", "the whole gradient has the wrong sign"
    for name, size in _sizes():
        wanted = [size(case, m) for case, m, _ in factors]
        if None in wanted or len({round(w, 9) for w in wanted}) == 1 < len(wanted):
            continue
        if all(abs(c * w - 1) < 1e-4 for c, w in zip(values, wanted, strict=True)):
            kind = "mean" if name in ("rows × positions", "positions", "rows", "features") else "factor"
            return kind, f"it is divided by the number of {name}" if kind == "mean" else f"it is divided by {name}"
        if all(abs(c / w - 1) < 1e-4 for c, w in zip(values, wanted, strict=True)):
            kind = "mean" if name in ("rows × positions", "positions", "rows", "features") else "factor"
            return kind, f"it is too large by the {'number of ' if kind == 'mean' else 'factor '}{name}"
    if max(values) - min(values) < 1e-4 * max(1e-9, max(map(abs, values))):
        return "factor", f"it is the true gradient times {values[0]:.6g}, everywhere"
    between = f"{min(values):.4g} … {max(values):.4g}"
    return "factor", f"it is a multiple of the true gradient, but not the same one everywhere ({between})"


def _sizes() -> Iterator[tuple[str, Any]]:
    """Numbers that a gradient is divided by or multiplied with by mistake, read off a case."""

    def axis(place: int) -> Any:
        return lambda case, m: float(np.shape(m.y)[place]) if np.ndim(m.y) > abs(place + 0.5) - 0.5 else None

    def positions(case: Case, m: Measured) -> float | None:
        targets = case.fixed.get("targets")
        if targets is not None and np.ndim(m.y) == 0:
            return float((targets != -100).sum())
        return float(np.prod(np.shape(m.y)[:2])) if np.ndim(m.y) >= 2 else None

    yield "rows × positions", positions
    yield "rows", axis(0)
    yield "positions", axis(1)
    yield "features", axis(-1)
    yield "√D, the head's width", lambda case, m: _head_width(case) ** 0.5 if _head_width(case) else None
    yield "D, the head's width", lambda case, m: _head_width(case)
    yield "1 − the dropout rate", lambda case, m: 1 - case.fixed["rate"] if "rate" in case.fixed else None
    yield "the gradient that arrives", lambda case, m: float(m.dy) if np.ndim(m.dy) == 0 else None


def _head_width(case: Case) -> float | None:
    if "q" in case.inputs:
        return float(case.inputs["q"].shape[-1])
    return float(case.fixed["head_width"]) if "head_width" in case.fixed else None


def _turns() -> Iterator[tuple[str, Any]]:
    """Gradients whose axes are swapped while the shape stays, in either order of heads and positions."""
    says = "it is reshaped as if it were already transposed: the numbers are right, their places are not"

    def turn(a: int, b: int, heads: bool) -> Any:
        def turned(t: np.ndarray) -> np.ndarray | None:
            if t.ndim < (4 if heads else 2) or t.ndim <= max(a, b if b >= 0 else 1):
                return None
            x = HEADS_FIRST.to(t) if heads else t
            x = np.swapaxes(x, a, b).reshape(x.shape)
            return x.swapaxes(1, 2) if heads else x

        return turned

    for heads in (False, True):
        for a, b in ((-1, -2), (0, 1), (1, 2), (0, 2)):
            yield says, turn(a, b, heads)


def _one_part(
    verdict: Verdict, pairs: list[tuple[Measured, str, np.ndarray, np.ndarray]], roles: list[str], bound: float
) -> Explanation | None:
    """Whether a sum over rows or positions was cut down to the part of the last or the first of them."""
    for axis, word in ((0, "row"), (1, "position")):
        for place, which in ((-1, "last"), (0, "first")):
            if all(_part_is(verdict, m, role, g, axis, place, bound) for m, role, g, _ in pairs):
                says = f"only the {which} {word}'s part is there: the sum over all {word}s is lost, `=` for `+=`"
                return _made(verdict, "overwritten", says, tuple(roles))
    return None


def _part_is(verdict: Verdict, m: Measured, role: str, g: np.ndarray, axis: int, place: int, bound: float) -> bool:
    if np.ndim(m.dy) <= axis:
        return False
    own = m.y if verdict.operation.name == "dropout" else None
    _, pullback = reference(verdict.binding, m.case, verdict.variant, own)
    dy = np.zeros_like(m.dy)
    index = (slice(None),) * axis + (place,)
    dy[index] = m.dy[index]
    return _same(pullback(dy).get(role), g, bound)


def _scaling(verdict: Verdict, roles: list[str]) -> Explanation | None:
    """One statement of the reference whose value, times some factor, gives the learner's numbers."""
    told, bound = _told(verdict, roles), _bound(verdict)
    for mistake, name in scalings(verdict.operation):
        factors = []
        for m, truth in told:
            with np.errstate(all="ignore"):
                doubled = _run(verdict, mistake, m)
            factor = _fitted(m, truth, doubled, bound) if doubled is not None else None
            if factor is None:
                break
            factors.append((m.case, m, factor))
        else:
            changed = [f for f in factors if abs(f[2] - 1) > 1e-6]
            if not changed:
                continue
            kind, says = _named_factor(changed) or ("factor", "")
            if all(abs(c) < 1e-6 for _, _, c in changed):
                kind, says = "dropped", "it is dropped"
            return _made(verdict, kind, f"at `{name}`: {says}", tuple(roles), mistake)
    return None


def _fitted(m: Measured, truth: Arrays, doubled: Arrays, bound: float) -> float | None:
    """c such that the learner's gradients are those with the statement times c; None if there is none."""
    roles = [r for r in m.gradients if r in truth and r in doubled]
    step = np.concatenate([(doubled[r] - truth[r]).reshape(-1) for r in roles])
    off = np.concatenate([(np.asarray(m.gradients[r], float) - truth[r]).reshape(-1) for r in roles])
    size = float(step @ step)
    if size < 1e-18:
        return None
    c = float(step @ off) / size
    whole = max(float(np.abs(off).max()), float(np.abs(step).max()))
    return 1.0 + c if float(np.abs(off - c * step).max()) <= 10 * bound * whole else None
