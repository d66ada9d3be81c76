"""The report on a file: in words, as JSON, as an exit status."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minigpt.core.errors import UserError
from minigpt.lab.check.catalogue import KINDS
from minigpt.lab.check.finding import Pair, description, find_pairs, read
from minigpt.lab.check.judging import RIGHT, SINGLE_BOUND, UNJUDGED, WRONG, Gradient, Verdict, judge
from minigpt.lab.check.model import ModelVerdict, judge_model
from minigpt.lab.check.naming import Explanation, explain
from minigpt.lab.check.sandbox import Limits, need_plain_file, protects_files
from minigpt.lab.check.where import as_words, locate
from minigpt.lab.testing import ELEMENT_BOUND

LEVELS = ("hint", "name", "answer")
UNPROTECTED = (
    "bubblewrap is not installed (or not allowed here): the file runs in a process of its own, with limits on time and "
    "memory, but your files are not protected from it"
)


@dataclass
class Report:
    """The verdicts on the pairs and whole models of a file."""

    file: str
    pairs: list[Verdict] = field(default_factory=list)
    models: list[ModelVerdict] = field(default_factory=list)
    protected: bool = True

    @property
    def status(self) -> int:
        """0: everything is right; 1: something is wrong; 2: something could not be judged, or there was nothing."""
        states = [v.status for v in [*self.pairs, *self.models]]
        if WRONG in states:
            return 1
        return 2 if UNJUDGED in states or not states else 0

    def text(self, level: str = "name") -> str:
        """The report in words.

        Args:
            level: "hint" gives the mistake's name not away, "answer" shows the right line.
        """
        parts = [_pair_text(v, level) for v in self.pairs] + [m.text(level) for m in self.models]
        states = [v.status for v in [*self.pairs, *self.models]]
        counts = [f"{states.count(s)} {s}" for s in (RIGHT, WRONG, UNJUDGED) if states.count(s)]
        return "\n".join([*parts, f"{self.file}: {', '.join(counts) or 'nothing to check was found'}"])

    def as_dict(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "status": self.status,
            "files_protected": self.protected,
            "pairs": [_pair_dict(v) for v in self.pairs],
            "models": [m.as_dict() for m in self.models],
        }


def check_file(
    path: str | Path, names: Iterable[str] = (), *, claimed: str | None = None, limits: Limits | None = None
) -> Report:
    """Check the backward passes of a file, in processes of their own.

    Args:
        names: which of them, by the pair's or a function's name; by default all.
        claimed: the operation that they are to be, where their names do not say it.
    Raises:
        UserError: the file cannot be read, is not Python, or has nothing of that name.
    """
    return check_source(need_plain_file(path), names, file=str(path), claimed=claimed, limits=limits)


def check_source(
    source: str,
    names: Iterable[str] = (),
    *,
    file: str = "the text",
    claimed: str | None = None,
    limits: Limits | None = None,
) -> Report:
    """`check_file` of a text."""
    tree = read(source, file)
    pairs, models = (
        find_pairs(tree),
        {n: d for n, d in description(tree).items() if isinstance(d, dict) and "model" in d},
    )
    wanted = set(names)
    if wanted:
        pairs = [p for p in pairs if wanted & _called(p)]
        models = {n: d for n, d in models.items() if n in wanted}
        missing = wanted - set().union(*(_called(p) for p in pairs), models)
        if missing:
            known = sorted({p.name for p in find_pairs(tree)} | set(description(tree)))
            raise UserError(f"{file} has no {sorted(missing)[0]!r} to check: there is {', '.join(known) or 'nothing'}")
    report = Report(file, protected=protects_files())
    adapters = {str(d["model"]) for d in description(tree).values() if isinstance(d, dict) and "model" in d}
    for pair in pairs:
        if adapters & _called(pair):
            continue
        verdict = _judged(pair, source, claimed, limits)
        if adapters and verdict.operation is None and not wanted:
            continue  # the model itself, or a block of it: judged as a whole
        report.pairs.append(verdict)
    for name, described in models.items():
        try:
            report.models.append(judge_model(name, described, source, tree, report.pairs, limits))
        except _SENSELESS as error:
            report.models.append(ModelVerdict(name, reason=_senseless(error)))
    return report


# What a process gives back is anything that the learner's file likes, and reading it may fail in as many ways.
_SENSELESS = (TypeError, ValueError, LookupError, AttributeError, OverflowError)


def _senseless(error: Exception) -> str:
    return f"what the process gave back makes no sense ({type(error).__name__}: {error})"


def _judged(pair: Pair, source: str, claimed: str | None, limits: Limits | None) -> Verdict:
    """The verdict on a pair, with the mistake's name if it is wrong."""
    try:
        verdict = judge(pair, source, claimed, limits)
        if verdict.status == WRONG:
            verdict.explanation = explain(verdict, source, limits)
    except _SENSELESS as error:
        return Verdict(pair, reason=_senseless(error))
    return verdict


def _called(pair: Pair) -> set[str]:
    return {pair.name, pair.forward.name, pair.backward.name, pair.class_name or pair.name}


def _title(verdict: Verdict) -> str:
    pair = verdict.pair
    name = f"{pair.class_name}.{pair.backward.name}" if pair.class_name else pair.backward.name
    if pair.kind == "closure":
        name = f"{pair.forward.name}'s {pair.backward.name}"
    return f"{name} (line {pair.backward.line})"


def _pair_text(verdict: Verdict, level: str) -> str:
    known = verdict.operation is not None and verdict.operation.reference is not None
    kind = f", as {verdict.operation.name}" if known else ""
    lines = [f"{_title(verdict)}{kind}: {verdict.status.upper() if verdict.status == WRONG else verdict.status}"]
    if verdict.reason:
        lines.append(f"  {verdict.reason}")
    lines += [f"  {line}" for line in _forward_lines(verdict)]
    for gradient in verdict.wrong:
        lines += [f"  {line}" for line in _gradient_lines(verdict, gradient)]
    good = [g.name for g in verdict.gradients if not g.problem]
    if good and verdict.status == WRONG:
        lines.append(f"  right: the gradient of {', '.join(good)}")
    if verdict.explanation is not None:
        lines += [f"  {line}" for line in explanation_lines(verdict.explanation, level)]
    lines += [f"  note: {note}" for note in verdict.notes]
    return "\n".join(lines)


def _forward_lines(verdict: Verdict) -> list[str]:
    error = verdict.forward_error
    if error is None or verdict.operation.reference is None or not verdict.measured:
        return []
    layout = verdict.layout.name if "mask" in verdict.binding.bound else verdict.layout.name.split(", mask")[0]
    told = ", ".join(w for w in (layout, verdict.variant.name) if w and w not in ("as written", verdict.operation.name))
    if error > (SINGLE_BOUND if verdict.single else 1e-9):
        return [f"forward is not {verdict.operation.name}: it is off by {error:.2g} (nearest: {told or 'as written'})"]
    return [f"forward is {verdict.operation.name}{f' ({told})' if told else ''}"] if verdict.status == WRONG else []


def _gradient_lines(verdict: Verdict, gradient: Gradient) -> list[str]:
    place = locate(verdict, gradient)
    at = f" (line {', '.join(map(str, place.lines))})" if place.lines else ""
    bound = SINGLE_BOUND if verdict.single else ELEMENT_BOUND
    wrong = len(gradient.wrong)
    cases = len([m for m in verdict.measured if gradient.role in m.case.inputs])
    says = {
        "values": f"is off by {gradient.error:.2g} of its size (bound {bound:.0e}), in {wrong} of {cases} cases",
        "missing": "is not there",
        "shape": f"has the shape {gradient.shape}",
        "overwritten": "overwrites what is there, while others are added to",
        "not repeatable": "is another one when backward is called again",
    }[gradient.problem]
    lines = [f"the gradient of {gradient.name} {says}{at}"]
    if place.only:
        lines.append(f"  only {'; only '.join(place.only)}")
    if place.worst:
        lines.append(f"  worst at {place.worst}")
    return lines


def explanation_lines(found: Explanation, level: str) -> list[str]:
    """The mistake's name and where to read; at "hint" without the name, at "answer" with the right line."""
    if level == "hint":
        return [f"hint: {found.hint}", *([f"read: {found.lesson}"] if found.lesson else [])]
    lines = [f"mistake: {KINDS[found.kind][0]}: {found.says}"]
    if found.derivation:
        lines.append(f"derivation: {found.derivation}")
    if level == "answer" and found.code:
        lines.append(f"answer: {found.code}")
    if found.lesson:
        lines.append(f"read: {found.lesson}")
    return lines


def explanation_dict(found: Explanation | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "kind": found.kind,
        "says": found.says,
        "hint": found.hint,
        "derivation": found.derivation,
        "answer": found.code,
        "lesson": found.lesson,
        "gradients": list(found.roles),
    }


def _pair_dict(verdict: Verdict) -> dict[str, Any]:
    finite = {g.role: g.error if g.error < 1e300 else None for g in verdict.gradients}
    return {
        "name": verdict.pair.name,
        "function": verdict.pair.backward.name,
        "class": verdict.pair.class_name,
        "line": verdict.pair.backward.line,
        "status": verdict.status,
        "operation": verdict.operation.name if verdict.operation else None,
        "layout": verdict.layout.name if verdict.layout else None,
        "reading": verdict.variant.name if verdict.variant else None,
        "forward_error": verdict.forward_error,
        "reason": verdict.reason or None,
        "gradients": [
            {"of": g.name, "role": g.role, "problem": g.problem or None, "error": finite[g.role]}
            | ({"where": as_words(locate(verdict, g))} if g.problem else {})
            for g in verdict.gradients
        ],
        "mistake": explanation_dict(verdict.explanation),
        "notes": verdict.notes,
    }


def show_check(source: str | Path, *names: str, claimed: str | None = None, level: str = "name") -> Report:
    """For notebooks: check a file (a Path) or a text, print the report, and return it."""
    if isinstance(source, Path):
        report = check_file(source, names, claimed=claimed)
    else:
        report = check_source(source, names, file="this cell", claimed=claimed)
    print(report.text(level))
    if not report.protected:
        print(f"({UNPROTECTED})")
    return report
