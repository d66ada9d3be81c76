"""The verdict on one pair: is forward the operation that it claims to be, and is every gradient the true one?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigpt.lab.check.asking import COARSE_STEP, STEP, Job, Measured, measurements, probes, read, reference, undone
from minigpt.lab.check.binding import Binding, CannotBind, bind, candidates
from minigpt.lab.check.custom import custom_operation, guessed_operation, template
from minigpt.lab.check.finding import Pair
from minigpt.lab.check.known import Case, Layout, Operation, Variant
from minigpt.lab.check.operations import BY_NAME, OPERATIONS
from minigpt.lab.check.sandbox import Answer, Limits, run_job
from minigpt.lab.testing import DIRECTION_BOUND, ELEMENT_BOUND

FLOOR = 1e-3  # of the size that an error is relative to, as in `minigpt.lab.testing`
FORWARD_BOUND = 1e-9
SINGLE_BOUND = 2e-4  # of what was computed in float32
RIGHT, WRONG, UNJUDGED = "right", "wrong", "not judged"


@dataclass
class Gradient:
    """One role's gradient over all cases.

    Attributes:
        role: the reference's name; `name` is the learner's.
        problem: "" if it is right, else "values", "missing", "shape", "overwritten", "not repeatable".
        error: the worst case's largest error, relative to the largest element of the true gradient.
    """

    role: str
    name: str
    problem: str = ""
    error: float = 0.0
    shape: tuple[int, ...] = ()
    wrong: list[int] = field(default_factory=list)  # which cases


@dataclass
class Verdict:
    """What was found out about one pair."""

    pair: Pair
    status: str = UNJUDGED
    operation: Operation | None = None
    binding: Binding | None = None
    layout: Layout | None = None
    variant: Variant | None = None
    single: bool = False
    kinds: set[frozenset[str]] = field(default_factory=set)  # which sets of inputs the code takes
    forward_error: float | None = None
    measured: list[Measured] = field(default_factory=list)
    truths: list[dict[str, np.ndarray]] = field(default_factory=list)
    gradients: list[Gradient] = field(default_factory=list)
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    explanation: Any = None

    @property
    def wrong(self) -> list[Gradient]:
        return [g for g in self.gradients if g.problem]

    @property
    def forward_wrong(self) -> bool:
        bound = SINGLE_BOUND if self.single else FORWARD_BOUND
        return self.forward_error is not None and not self.forward_error <= bound


def judge(pair: Pair, source: str, claimed: str | None = None, limits: Limits | None = None) -> Verdict:
    """Check one pair of a file.

    Args:
        claimed: the operation that it is, instead of what its name says.
    """
    verdict = Verdict(pair)
    try:
        verdict.binding = _binding(pair, claimed or pair.described.get("as"))
    except CannotBind as error:
        verdict.reason = f"{error}; {template(pair)}"
        return verdict
    verdict.operation = verdict.binding.operation
    job, tried = probes(verdict.binding)
    answer = run_job(source, job.told(), job.arrays, limits)
    if not _choose(verdict, tried, answer):
        return verdict
    job, asked, shapes = judged_job(verdict)
    answer = run_job(source, job.told(), job.arrays, limits)
    if answer.failure or "error" in answer.told:
        verdict.reason = answer.failure or _said(answer.told["error"])
        return verdict
    measured = read(verdict.binding, verdict.layout, job, asked, answer, shapes)
    _judge_measured(verdict, measured)
    return verdict


def judged_job(verdict: Verdict) -> tuple[Job, list[Any], Any]:
    """What a pair is measured by, its cases, and what gives the shape of y."""
    shapes = _shapes(verdict)
    step = COARSE_STEP if verdict.single else STEP
    job, asked = measurements(verdict.binding, verdict.layout, verdict.variant, verdict.kinds, shapes, step=step)
    return job, asked, shapes


def _binding(pair: Pair, claimed: str | None) -> Binding:
    """The first known operation whose arguments the pair has.

    Raises:
        CannotBind: there is none.
    """
    if claimed is not None:
        near = [o for o in OPERATIONS if o.name == claimed.replace("_", "-") or claimed.replace("-", " ") == o.name]
        options = near or candidates(claimed, OPERATIONS)
        if not options:
            raise CannotBind(f"{claimed!r} is no operation that is known here: there are {', '.join(BY_NAME)}")
    else:
        options = candidates(pair.name, OPERATIONS)
    if pair.described.get("inputs"):
        return custom_operation(pair)
    problem: CannotBind | None = None
    for operation in options:
        try:
            return bind(pair, operation)
        except CannotBind as error:
            problem = problem or error
    if problem is not None:
        raise problem
    return guessed_operation(pair)


def _said(error: dict[str, Any]) -> str:
    line = f"line {error['line']}: " if error.get("line") else ""
    stage = {"import": "the file", "binding": "the object has no array for"}.get(
        error.get("stage", ""), error.get("stage")
    )
    if error.get("stage") == "binding":
        return f"{stage} {error.get('message')}"
    message = " ".join(str(error.get("message")).split())[:200]
    return f"{line}{stage} raised {error.get('type')}: {message}"


def _shapes(verdict: Verdict) -> Any:
    """A function from a case to the shape of y."""
    binding, variant = verdict.binding, verdict.variant
    known: dict[str, tuple[int, ...]] = getattr(binding.operation, "y_shapes", {})

    def shape_of(case: Case) -> tuple[int, ...]:
        if case.name in known:
            return known[case.name]
        return np.shape(reference(binding, case, variant)[0])

    return shape_of


def _choose(verdict: Verdict, tried: list[tuple[Layout, Case]], answer: Answer) -> bool:
    """Settle on the layout and the variant whose numbers forward gives, or on those that come nearest."""
    if answer.failure or "error" in answer.told:
        verdict.reason = answer.failure or _said(answer.told["error"])
        return False
    errors, failures, single = _probed(verdict, tried, answer)
    if not errors:
        verdict.reason = _said(failures[0]) if failures else "forward gave nothing of the size that was expected"
        verdict.reason += f"; {template(verdict.pair)}"
        return False
    layouts = {layout.name: layout for layout, _ in tried}
    variants = {variant.name: variant for variant in verdict.operation.variants}
    best = min(errors, key=lambda key: errors[key])  # of equals the first
    verdict.layout, verdict.variant, verdict.forward_error = layouts[best[0]], variants[best[1]], errors[best]
    verdict.single = single or FORWARD_BOUND < errors[best] <= SINGLE_BOUND / 10  # float32 somewhere inside
    accepted = SINGLE_BOUND if verdict.single else FORWARD_BOUND
    verdict.kinds = {best[2]} | {key[2] for key, error in errors.items() if key[:2] == best[:2] and error <= accepted}
    return True


_Key = tuple[str, str, frozenset[str]]  # layout, variant, and which inputs there were


def _probed(
    verdict: Verdict, tried: list[tuple[Layout, Case]], answer: Answer
) -> tuple[dict[_Key, float], list[dict[str, Any]], bool]:
    """How far forward is from each reading, the worst of its cases; what failed; whether results are float32."""
    errors: dict[_Key, float] = {}
    failures: list[dict[str, Any]] = []
    single = False
    for (layout, case), told in zip(tried, answer.told.get("runs", []), strict=False):
        y = answer.arrays.get(told.get("y", ""))
        if "error" in told or y is None:
            failures.append(told.get("error", {"type": "nothing", "message": "", "stage": "forward"}))
        for variant in verdict.operation.variants:
            key = (layout.name, variant.name, frozenset(case.inputs))
            if y is None or "error" in told:
                if case.needs:  # a layout that cannot take this mask is not the one
                    errors.pop(key, None)
                continue
            single = single or y.dtype == np.float32
            error = _forward_error(verdict, case, variant, layout, y)
            if error is not None:
                # a case with a mask decides among those that agree without one
                errors[key] = max(errors.get(key, 0.0), error)
    return errors, failures, single


def _forward_error(verdict: Verdict, case: Case, variant: Variant, layout: Layout, y: np.ndarray) -> float | None:
    """How far y is from the reference's, relative to its size; None where the sizes differ."""
    operation = verdict.operation
    if operation.reference is None:
        operation.y_shapes[case.name] = y.shape
        return 0.0
    if variant.fixed.get("always_causal") and "with a mask (padded)" in case.tags:
        return None
    wanted, _ = reference(verdict.binding, case, variant)
    own = undone(layout, case, y.astype(np.float64), np.shape(wanted))
    if own is None:
        return None
    if operation.name == "dropout":
        wanted, _ = reference(verdict.binding, case, variant, own)
    error = float(np.max(np.abs(own - wanted), initial=0.0)) / max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
    return error if np.isfinite(error) else 1e300


def _judge_measured(verdict: Verdict, measured: list[Measured]) -> None:
    """Compare what was measured with the truth, case by case, and say what is wrong."""
    broken = [m for m in measured if m.y is None or (m.error is not None and not m.gradients and not m.misshapen)]
    verdict.measured = [m for m in measured if m not in broken]
    failed = next((m for m in broken if m.error and m.error.get("stage") == "backward"), None)
    if broken and not verdict.measured:
        verdict.reason = _said(broken[0].error or {"type": "nothing", "stage": "forward"})
        verdict.status = WRONG if failed else UNJUDGED
        return
    if failed:
        verdict.reason = f"in the case “{failed.case.name}”, {_said(failed.error)}"
    verdict.notes += [
        f"the case “{m.case.name}” could not be run: {_said(m.error)}" for m in broken if m.error and m is not failed
    ]
    bound = SINGLE_BOUND if verdict.single else ELEMENT_BOUND
    errors = []
    for m in verdict.measured:
        truth, error = _truth(verdict, m, bound)
        errors.append(error)
        verdict.truths.append(truth or (verdict.truths[0] if verdict.truths else {}))  # the last is the first, strided
    verdict.forward_error = max(errors) if verdict.operation.reference is not None else None
    roles = list(dict.fromkeys(role for m in verdict.measured for role in m.case.inputs))
    verdict.gradients = [_gradient(verdict, role, bound) for role in roles]
    _accumulation(verdict, bound)
    _finish(verdict, bound)


def _truth(verdict: Verdict, m: Measured, bound: float) -> tuple[dict[str, np.ndarray], float]:
    """The true gradients: the reference's if forward is the reference's, else by finite differences."""
    numeric = {role: g for role, g in m.numeric.items() if not np.isnan(g).all()}
    if verdict.operation.reference is None:
        return numeric, 0.0
    own = m.y if verdict.operation.name == "dropout" else None
    wanted, pullback = reference(verdict.binding, m.case, verdict.variant, own)
    size = max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
    error = float(np.max(np.abs(m.y - wanted), initial=0.0)) / size
    error = error if np.isfinite(error) else float("inf")
    if error <= (SINGLE_BOUND if verdict.single else FORWARD_BOUND):
        return pullback(m.dy if np.ndim(m.dy) else float(m.dy)), error
    return numeric, error


def relative(g: np.ndarray, truth: np.ndarray) -> float:
    """max |g − t| / max(max |t|, 1e-3), over the elements that are known."""
    known = ~np.isnan(truth)
    if not known.any():
        return 0.0
    error = np.abs(g[known] - truth[known])
    largest = max(float(np.abs(truth[known]).max()), FLOOR)
    return float(error.max()) / largest if np.isfinite(error).all() else float("inf")


def _gradient(verdict: Verdict, role: str, bound: float) -> Gradient:
    found = Gradient(role, learner_name(verdict, role))
    for i, (m, truth) in enumerate(zip(verdict.measured, verdict.truths, strict=True)):
        if role not in m.case.inputs or role not in truth:
            continue
        if role in m.misshapen:
            found.problem, found.shape = "shape", m.misshapen[role]
        elif role not in m.gradients:
            found.problem = "missing"
        else:
            g = np.asarray(m.gradients[role], dtype=np.float64)
            error = relative(g, truth[role])
            wrong = not error <= bound
            if not wrong and role in m.slopes and not verdict.single:
                t = truth[role]
                along = abs(float((g * m.directions[role]).sum()) - m.slopes[role]) / max(
                    float(np.linalg.norm(t)), FLOOR
                )
                if along > DIRECTION_BOUND and _is_smooth(m, role, truth[role]):
                    wrong, error = True, max(error, along)
            found.error = max(found.error, error)
            if not wrong:
                continue
            found.problem = found.problem or "values"
        found.wrong.append(i)
    return found


def _is_smooth(m: Measured, role: str, truth: np.ndarray) -> bool:
    """Whether finite differences agree with the truth at all (they do not across a corner of ReLU)."""
    return role not in m.numeric or relative(m.numeric[role], truth) <= ELEMENT_BOUND


def learner_name(verdict: Verdict, role: str) -> str:
    """What the learner calls a role."""
    binding = verdict.binding
    for name, meant in [*binding.forward.items(), *binding.constructor.items()]:
        if isinstance(meant, dict):
            for key, inner in meant["keys"].items():
                if inner == role:
                    return f"{name}[{key!r}]" if meant["kind"] == "dict" else f"{name}.{key}"
        elif meant == role:
            return name
    return role


def _accumulation(verdict: Verdict, bound: float) -> None:
    """Who adds into what is there, who overwrites it, and who gives something else the second time."""
    adds: dict[str, bool] = {}
    for i, m in enumerate(verdict.measured):
        for gradient in verdict.gradients:
            role = gradient.role
            if gradient.problem or role not in m.again or role not in m.gradients:
                continue
            once, twice = (np.asarray(x[role], dtype=np.float64) for x in (m.gradients, m.again))
            if once.shape != twice.shape or not np.abs(once).max(initial=0.0) > 1e-6:  # a key bias has none
                continue
            same = relative(twice, once) <= 100 * bound
            if role in m.added or role in m.attributes:
                grown = relative(twice, once + 0.5 if role in m.added else 2 * once) <= 100 * bound
                if same or grown:
                    adds[role] = adds.get(role, True) and grown
                    continue
            if not same:
                gradient.problem, gradient.error = "not repeatable", max(gradient.error, relative(twice, once))
                gradient.wrong.append(i)
    if not adds:
        return
    overwriting = [g for g in verdict.gradients if adds.get(g.role) is False]
    mixed = any(adds.values()) and overwriting
    demanded = bool(verdict.pair.described.get("accumulates"))
    for gradient in overwriting:
        if mixed or demanded:
            gradient.problem, gradient.wrong = "overwritten", list(range(len(verdict.measured)))
    if overwriting and not (mixed or demanded):
        names = ", ".join(g.name for g in overwriting)
        verdict.notes.append(
            f"the gradient of {names} is overwritten, not added to: wrong where an array is used twice"
        )


def _finish(verdict: Verdict, bound: float) -> None:
    changed = sorted({"the gradient that arrives" if n == "\0dy" else n for m in verdict.measured for n in m.changed})
    if changed:
        verdict.notes.append(f"{', '.join(changed)} is changed in place: whoever uses it afterwards gets other numbers")
    if verdict.single:
        verdict.notes.append(f"computed in float32, so judged with a bound of {SINGLE_BOUND:g}")
    if not any(verdict.truths) or not any(
        np.abs(t).max(initial=0.0) > 0 for truth in verdict.truths for t in truth.values()
    ):
        verdict.reason = "the result depends on none of the inputs"
        verdict.status = WRONG if verdict.forward_wrong else UNJUDGED
        return
    verdict.status = WRONG if verdict.wrong or verdict.forward_wrong or verdict.reason else RIGHT
