"""Where the catalogue has no name: which change of one place in the learner's own code makes every gradient right?

The changes are of the kinds that `mutate.py` makes, backwards: a sign turned, a sum for a mean, another axis, another
array, a factor put in or taken out. They are made in the text of the file and run where the file runs (`sandbox.py`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from minigpt.lab.check.asking import Job, read
from minigpt.lab.check.judging import Verdict, judged_job, relative
from minigpt.lab.check.sandbox import Limits, run_job
from minigpt.lab.testing import ELEMENT_BOUND

MOST = 900  # changes that are tried
_TRIED = 12  # of those that help on one input, how many are tried on all


class Edit(NamedTuple):
    """A change of the text: bytes `start` to `end` become `new`."""

    kind: str
    says: str
    line: int
    start: int
    end: int
    new: str
    before: str
    rank: int  # a low one is tried and believed first


def repair(verdict: Verdict, source: str, limits: Limits | None = None) -> Edit | None:
    """The first change of one place after which every gradient of the pair is right; None if there is none."""
    edits = list(edits_of(verdict, source))[:MOST]
    wrong = sorted({i for g in verdict.wrong for i in g.wrong})
    if not edits or not wrong:
        return None
    job, asked, shapes = judged_job(verdict)
    helped = _right_on(verdict, source, edits, job, asked, shapes, wrong[:1], limits)
    plain = [i for i, run in enumerate(job.runs) if not run.get("strided")]
    return next(iter(_right_on(verdict, source, helped[:_TRIED], job, asked, shapes, plain, limits)), None)


def _right_on(
    verdict: Verdict,
    source: str,
    edits: list[Edit],
    job: Job,
    asked: list[Any],
    shapes: Any,
    cases: list[int],
    limits: Limits | None,
) -> list[Edit]:
    """Those after which the gradients of some cases are right."""
    if not edits:
        return []
    runs = [{**job.runs[i], "directions": {}, "differentiate": []} for i in cases]
    told = {"pair": job.pair, "runs": runs, "budget": 5.0, "edits": [[e.start, e.end, e.new] for e in edits]}
    answer = run_job(source, told, job.arrays, limits)
    found = []
    for edit, runs_told in zip(edits, answer.told.get("edited", []), strict=False):
        if runs_told is None or len(runs_told) != len(cases):
            continue
        part = Job(job.pair, runs, job.arrays)
        measured = read(
            verdict.binding,
            verdict.layout,
            part,
            [asked[i] for i in cases],
            answer._replace(told={"runs": runs_told}),
            shapes,
        )
        if all(_is_right(verdict, m, i) for m, i in zip(measured, cases, strict=True)):
            found.append(edit)
    return found


def _is_right(verdict: Verdict, m: Any, case: int) -> bool:
    truth = verdict.truths[case]
    bound = 1e-3 if verdict.single else 10 * ELEMENT_BOUND
    return bool(truth) and all(
        role in m.gradients and relative(np.asarray(m.gradients[role], float), t) <= bound for role, t in truth.items()
    )


class _Text:
    """The source as bytes, and where its nodes lie in it."""

    def __init__(self, source: str) -> None:
        self.bytes = source.encode("utf-8")
        self.starts = [0]
        for line in self.bytes.split(b"\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)

    def span(self, node: Any) -> tuple[int, int]:
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def of(self, node: Any) -> str:
        start, end = self.span(node)
        return self.bytes[start:end].decode("utf-8")


def edits_of(verdict: Verdict, source: str) -> Iterator[Edit]:
    """Every change of one place in a pair's backward pass, the likeliest kinds first."""
    pair = verdict.pair
    around = pair.forward.node if pair.kind in ("closure", "class") else None
    return edits_in(pair.backward.node, source, around, closure=pair.kind == "closure")


def edits_in(node: Any, source: str, around: Any = None, *, closure: bool = False) -> Iterator[Edit]:
    """Every change of one place in a function.

    Args:
        around: the forward pass, whose names backward can see too: all of them in a closure, else the object's.
    """
    text, found = _Text(source), []
    names = _names(node, around, closure)
    for statement in node.body if isinstance(node.body, list) else [node.body]:
        for inner in ast.walk(statement):
            for rank, kind, says, new in _changes(inner, text, names):
                start, end = text.span(inner)
                found.append(Edit(kind, says, inner.lineno, start, end, new, text.of(inner), rank))
    return iter(sorted(found, key=lambda edit: edit.rank))


def _names(node: Any, around: Any, closure: bool) -> list[str]:
    """What holds numbers where backward runs: its own names, those of the function around it, the object's arrays."""
    found: dict[str, None] = {}
    for function, own in ((node, True), (around, closure)):
        for inner in ast.walk(function) if function is not None else ():
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store) and own:
                found[inner.id] = None
            elif isinstance(inner, ast.arg) and inner.arg != "self" and own:
                found[inner.arg] = None
            elif isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "self":
                found[f"self.{inner.attr}"] = None
    return [name for name in found if name not in ("cache", "ctx", "rng")]


def _changes(node: ast.AST, text: _Text, names: list[str]) -> Iterator[tuple[int, str, str, str]]:
    """(rank, kind, what was wrong, new text) of one node; a low rank is tried and believed first."""
    if isinstance(node, ast.BinOp):
        yield from _binary(node, text)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield 0, "sign", f"the sign of `{text.of(node.operand)}` is wrong", f"({text.of(node.operand)})"
    elif isinstance(node, ast.Call):
        yield from _call(node, text)
    elif isinstance(node, (ast.Assign, ast.AugAssign)):
        yield from _statement(node, text, names)
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, (ast.Tuple, ast.Dict)):
        yield from ((r, k, s, f"return {new}") for r, k, s, new in _more(text.of(node.value), names))
    elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
        own = text.of(node)
        if own in names:
            for name in names:
                if name != own:
                    yield 3, "variable", f"`{own}` stands where `{name}` belongs", name
        if isinstance(node, ast.Attribute) and node.attr == "T":
            yield 2, "transpose", f"`{own}` should not be transposed", text.of(node.value)


def _binary(node: ast.BinOp, text: _Text) -> Iterator[tuple[int, str, str, str]]:
    left, right = text.of(node.left), text.of(node.right)
    if isinstance(node.op, (ast.Add, ast.Sub)):
        other = "-" if isinstance(node.op, ast.Add) else "+"
        yield 0, "sign", f"the sign of `{right}` is wrong", f"(({left}) {other} ({right}))"
        yield 5, "term", f"the term `{right}` does not belong there", f"({left})"
        yield 5, "term", f"the term `{left}` does not belong there", f"({right})"
    elif isinstance(node.op, (ast.Mult, ast.Div)):
        zero = any(isinstance(n, ast.Constant) and n.value == 0 for n in (node.left, node.right))
        kind = "dropped" if zero else "factor"
        yield 4, kind, f"the factor `{right}` does not belong there", f"({left})"
        if isinstance(node.op, ast.Mult):
            yield 4, kind, f"the factor `{left}` does not belong there", f"({right})"
        other = "/" if isinstance(node.op, ast.Mult) else "*"
        yield (
            4,
            "factor",
            f"`{right}` multiplies where it divides, or the other way round",
            f"(({left}) {other} ({right}))",
        )
    elif isinstance(node.op, ast.MatMult):
        for a, b in (("({}).swapaxes(-1, -2)", "({})"), ("({})", "({}).swapaxes(-1, -2)")):
            says = "a matrix is not transposed that has to be"
            yield 2, "transpose", says, f"({a.format(left)} @ {b.format(right)})"


def _call(node: ast.Call, text: _Text) -> Iterator[tuple[int, str, str, str]]:
    own, name = text.of(node), text.of(node.func)
    last = name.rsplit(".", 1)[-1] if "." in name else name
    if last in ("sum", "mean"):
        other = "mean" if last == "sum" else "sum"
        yield 1, "mean", f"a {last} stands where a {other} belongs", name[: -len(last)] + other + own[len(name) :]
        for argument in [*node.args, *(k.value for k in node.keywords if k.arg == "axis")]:
            if not isinstance(argument, (ast.Constant, ast.UnaryOp, ast.Tuple)):
                continue
            start = text.span(argument)[0] - text.span(node)[0]
            was = text.of(argument)
            for axis in ("-1", "0", "-2", "1", "(0, 1)"):
                if axis != was:
                    yield (
                        1,
                        "axis",
                        f"the {last} runs over axis {was}, not {axis}",
                        _spliced(own, start, len(was.encode()), axis),
                    )
    if last in ("swapaxes", "transpose") and isinstance(node.func, ast.Attribute):
        yield 2, "transpose", "the axes should not be swapped here", text.of(node.func.value)
    if last == "reshape" and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call):
        inner = node.func.value
        if isinstance(inner.func, ast.Attribute) and inner.func.attr in ("swapaxes", "transpose"):
            base = text.of(inner.func.value)
            yield 2, "transpose", f"`{base}` is reshaped as if it were already transposed", base


def _spliced(text: str, start: int, length: int, new: str) -> str:
    raw = text.encode("utf-8")
    return (raw[:start] + new.encode() + raw[start + length :]).decode("utf-8")


def _statement(node: Any, text: _Text, names: list[str]) -> Iterator[tuple[int, str, str, str]]:
    """Of an assignment: its value with a factor or a term more, `+=` for `=`, the place that is written to."""
    value = text.of(node.value)
    target = text.of(node.targets[0] if isinstance(node, ast.Assign) else node.target)
    sign = "="
    if isinstance(node, ast.AugAssign):
        sign = {ast.Add: "+=", ast.Sub: "-=", ast.Mult: "*=", ast.Div: "/="}.get(type(node.op), "")
        if sign in ("+=", "-="):
            yield 0, "sign", f"the sign of `{value}` is wrong", f"{target} {'-=' if sign == '+=' else '+='} {value}"
        if sign in ("*=", "/="):
            yield 4, "factor", f"`{target} {sign} {value}` does not belong there", "pass"
    elif isinstance(node.targets[0], (ast.Subscript, ast.Attribute, ast.Name)):
        yield 1, "overwritten", f"`{target} = …` overwrites what has to be added to", f"{target} += {value}"
    if sign and not isinstance(node.value, ast.Tuple):
        yield from ((r, k, s, f"{target} {sign} {new}") for r, k, s, new in _more(value, names))


def _more(value: str, names: list[str]) -> Iterator[tuple[int, str, str, str]]:
    """A value with one factor or term more."""
    yield 0, "sign", "the whole value has the wrong sign", f"-({value})"
    for name in names:
        kind = (
            "mask" if any(word in name.lower() for word in ("mask", "keep", "tril", "positive", "valid")) else "factor"
        )
        yield 6, kind, f"the factor `{name}` is missing", f"({value}) * {name}"
        yield 6, "factor", f"it is not divided by `{name}`", f"({value}) / {name}"
        yield 7, "term", f"the term `{name}` is missing", f"({value}) + {name}"
        yield 7, "term", f"the term `{name}` is missing", f"({value}) - {name}"
