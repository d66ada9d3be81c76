"""Questions to a learner's code, and what came back in the reference's terms.

First every layout is tried, forward alone, until one gives the reference's numbers; then that layout is measured:
forward, backward, backward again, and forward at inputs that have moved a little.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigpt.lab.check.binding import Binding, described
from minigpt.lab.check.known import TABLE, Arrays, Case, Layout, Variant
from minigpt.lab.check.sandbox import Answer
from minigpt.lab.testing import random_direction

STEP = 1e-4
COARSE_STEP = 2e-2  # for a forward pass that rounds to float32
MOST_CASES = 5


@dataclass(eq=False)
class Job:
    """Runs for one process, and the arrays that they name."""

    pair: dict[str, Any]
    runs: list[dict[str, Any]] = field(default_factory=list)
    arrays: Arrays = field(default_factory=dict)
    budget: float = 4.0

    def put(self, value: Any) -> str:
        name = f"v{len(self.arrays)}"
        self.arrays[name] = np.array(value)
        return name

    def told(self) -> dict[str, Any]:
        return {"pair": self.pair, "runs": self.runs, "budget": self.budget}


@dataclass(eq=False)  # it holds arrays: one is another only if it is the same object
class Measured:
    """What the learner's code gave for one case.

    Attributes:
        y: as the layout has it undone; None if forward failed.
        gradients: role to array in the reference's shape, of those that came back in a fair shape.
        misshapen: role to the shape that came back.
        again: the same after a second backward pass.
        added: roles whose gradients are added into arrays that were not zero.
        numeric: role to the gradient by finite differences of the learner's own forward pass, NaN where not measured.
        slopes: role to the slope along a direction.
        places: role to what the learner calls it ("W", "params.w").
    """

    case: Case
    error: dict[str, Any] | None = None
    y: np.ndarray | None = None
    dy: np.ndarray | None = None
    gradients: Arrays = field(default_factory=dict)
    misshapen: dict[str, tuple[int, ...]] = field(default_factory=dict)
    again: Arrays = field(default_factory=dict)
    added: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    numeric: Arrays = field(default_factory=dict)
    slopes: dict[str, float] = field(default_factory=dict)
    directions: Arrays = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)


def pair_words(binding: Binding) -> dict[str, Any]:
    pair = binding.pair
    return {
        "kind": pair.kind,
        "forward": pair.forward.name,
        "backward": pair.backward.name,
        "class": pair.class_name,
    }


def probes(binding: Binding) -> tuple[Job, list[tuple[Layout, Case]]]:
    """Forward alone, in every layout, on the first case that fits it."""
    job, tried = Job(pair_words(binding)), []
    for layout in binding.operation.layouts:
        kinds: set[tuple[frozenset[str], bool]] = set()
        for case in binding.operation.cases:
            kind = (frozenset(case.inputs), bool(case.needs & {"mask", "masked"}))
            if (
                layout.fits(case)
                and binding.usable(case)
                and (kind not in kinds or binding.operation.reference is None)
            ):
                kinds.add(kind)
                run, _ = _run(binding, layout, case, job)
                job.runs.append(run)
                tried.append((layout, case))
    return job, tried


def _run(binding: Binding, layout: Layout, case: Case, job: Job) -> tuple[dict[str, Any], dict[str, str]]:
    """One run of a job, and which array of it holds which role."""
    values, where = layout.values(case), {}
    roles = {*binding.operation.roles}

    def put(role: str) -> dict[str, Any]:
        told = described(values[role], job.put)
        if role in roles and "array" in told:
            where[role] = told["array"]
        return told

    def arguments(named: dict[str, Any], optional: set[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for parameter, role in named.items():
            if isinstance(role, dict):
                found[parameter] = {
                    role["kind"]: {key: put(inner) for key, inner in role["keys"].items() if inner in values}
                }
            elif role == "generator":
                found[parameter] = {"rng": True}
            elif role == "scale" or (role == "mask" and parameter in optional and not _masked(case)):
                continue
            elif role in values:
                found[parameter] = put(role)
            elif parameter not in optional:
                found[parameter] = {"json": None}
        return found

    optional = {p.name for p in binding.pair.forward.parameters if p.optional}
    run: dict[str, Any] = {"forward": arguments(binding.forward, optional), "construct": {}}
    if binding.pair.constructor is not None:
        own = {p.name for p in binding.pair.constructor.parameters if p.optional}
        run["construct"] = arguments(binding.constructor, own)
    if binding.is_class:
        taken = {r for r in binding.forward.values() if isinstance(r, str)}
        kept = [role for role in values if role in roles and role not in taken]
        words = binding.operation.roles
        run["attributes"] = {r: {"names": [r.replace("_", ""), *words[r]], "value": put(r)} for r in kept}
        run["required"] = kept
    run["backward"] = binding.backward
    return run, where


def _masked(case: Case) -> bool:
    mask = case.fixed.get("mask")
    return mask is not None and (not hasattr(mask, "causal") or mask.causal or mask.key_padding is not None)


def reference(binding: Binding, case: Case, variant: Variant, y: Any = None, table: Any = TABLE) -> tuple[Any, Any]:
    """The reference's y and pullback for a case read as a variant has it."""
    fixed = case.fixed | variant.fixed
    if y is not None:
        fixed["y"] = y
    return binding.operation.reference(table, case.inputs, fixed)


def undone(layout: Layout, case: Case, y: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """y in the reference's shape, or None where the number of elements does not fit."""
    if y.size != int(np.prod(shape, dtype=int)):
        return None
    if y.ndim == 0 or not shape:
        return y.reshape(shape)
    try:
        return np.asarray(layout.way("y").back(y, shape)).reshape(shape)
    except (ValueError, IndexError):
        return None


def measurements(
    binding: Binding, layout: Layout, variant: Variant, kinds: set[frozenset[str]], shape_of: Any, *, step: float
) -> tuple[Job, list[tuple[Case, dict[str, str]]]]:
    """Everything, on the cases that the layout fits; the first once more with inputs that are not contiguous."""
    job, asked = Job(pair_words(binding)), []
    causal = bool(variant.fixed.get("always_causal"))
    cases = [c for c in binding.operation.cases if layout.fits(c) and binding.usable(c, causal)]
    cases = [c for c in cases if frozenset(c.inputs) in kinds][:MOST_CASES]
    for case in [*cases, *cases[:1]]:
        run, where = _run(binding, layout, case, job)
        run["strided"] = len(asked) == len(cases)
        shape = shape_of(case)
        rng = np.random.default_rng(100 + len(asked) % max(len(cases), 1))
        takes_dy = binding.pair.kind in ("closure", "call") or any(source == "dy" for _, source in binding.backward)
        dy = rng.standard_normal(shape) if shape else np.asarray(0.7 if takes_dy else 1.0)
        packed = layout.way("y").to(dy) if shape else dy
        run |= {"dy": job.put(packed), "h": step, "differentiate": [], "directions": {}}
        if not run["strided"]:
            run["differentiate"] = list(where.values())
            run["directions"] = {n: job.put(random_direction(job.arrays[n].shape, 7)) for n in where.values()}
        job.runs.append(run)
        asked.append((Case(case.name, case.inputs, case.fixed | {"dy": dy}, case.needs, case.tags), where))
    return job, asked


def read(
    binding: Binding, layout: Layout, job: Job, asked: list[tuple[Case, dict[str, str]]], answer: Answer, shape_of: Any
) -> list[Measured]:
    """What came back, case by case."""
    runs = answer.told.get("runs", [])
    found = []
    for (case, where), run, told in zip(asked, job.runs, runs, strict=False):
        found.append(_read(binding, layout, case, where, run, told, job, answer.arrays, shape_of(case)))
    return found


def _read(
    binding: Binding,
    layout: Layout,
    case: Case,
    where: dict[str, str],
    run: dict[str, Any],
    told: dict[str, Any],
    job: Job,
    arrays: Arrays,
    shape: tuple[int, ...],
) -> Measured:
    found = Measured(case, told.get("error"), dy=case.fixed["dy"])
    if told.get("y") not in arrays:
        return found
    found.y = undone(layout, case, arrays[told["y"]], shape)
    found.changed = [str(name) for name in told.get("changed", [])]
    if "returned" not in told:
        return found
    raw = _roles(binding, told, arrays, where, job, found)
    found.gradients, found.misshapen = _canonical(layout, case, raw, where, job)
    for whole, parts in layout.fused.items():
        for names in (found.added, found.attributes):
            names |= set(parts) if whole in names else set()
    again = told.get("again", {})
    if "returned" in again:
        found.again, _ = _canonical(layout, case, _roles(binding, again, arrays, where, job, None), where, job)
    _read_numeric(layout, case, where, run, told, job, arrays, found)
    return found


def _roles(
    binding: Binding, told: dict[str, Any], arrays: Arrays, where: dict[str, str], job: Job, found: Measured | None
) -> Arrays:
    """Which of the arrays that came back is the gradient of which role, in the learner's shapes."""
    raw: Arrays = {}
    sources = dict(binding.backward)
    for name, array in told.get("sums", {}).items():
        learner = sources.get(name.split(".")[0], "").partition(":")[2]
        role = binding.forward.get(learner)
        if isinstance(role, dict):
            role = role["keys"].get(name.split(".")[-1])
        if isinstance(role, str):
            raw[role] = arrays[array]
            if found is not None:
                found.added.add(role)
    for path, array in told.get("attributes", {}).items():
        role = _attribute_role(binding, path, told.get("bound", {}))
        if role in where and role not in raw:
            raw[role] = arrays[array]
            if found is not None:
                found.attributes.add(role)
    _returned_roles(binding, told.get("returned", []), arrays, where, job, raw)
    return raw


def _attribute_role(binding: Binding, path: str, bound: dict[str, str]) -> str | None:
    if path in bound.values():
        return None
    return binding.role_of(path)


def _returned_roles(
    binding: Binding, returned: list[Any], arrays: Arrays, where: dict[str, str], job: Job, raw: Arrays
) -> None:
    """Results by their names in `return dx, dw` or in a dictionary, the others in the order of the arguments."""
    names = binding.pair.backward.returns
    unnamed: list[np.ndarray] = []
    for place, (label, array) in enumerate(returned):
        if array is None:
            continue
        given = label if not label.isdecimal() else names[place] if len(names) == len(returned) else None
        role = binding.role_of(given) if given else None
        if role is None and given and not label.isdecimal():
            role = binding.role_of(f"d{given}")
        if role in where and role not in raw:
            raw[role] = arrays[array]
        else:
            unnamed.append(arrays[array])
    left = [role for role in where if role not in raw]
    for array in unnamed:
        fits = [role for role in left if job.arrays[where[role]].shape == array.shape] or left
        if fits:
            raw[fits[0]] = array
            left.remove(fits[0])


def _canonical(
    layout: Layout, case: Case, raw: Arrays, where: dict[str, str], job: Job
) -> tuple[Arrays, dict[str, tuple[int, ...]]]:
    good: Arrays = {}
    misshapen: dict[str, tuple[int, ...]] = {}
    for role, array in raw.items():
        wanted = job.arrays[where[role]].shape if role in where else array.shape
        if array.shape == wanted or (array.size == np.prod(wanted) and _squeezed(array.shape) == _squeezed(wanted)):
            good[role] = array.reshape(wanted)
        else:
            misshapen[role] = array.shape
    split = layout.split(good)
    return {
        role: np.asarray(layout.way(role).back(x, case.inputs[role].shape))
        for role, x in split.items()
        if role in case.inputs
    }, misshapen


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


def _read_numeric(
    layout: Layout,
    case: Case,
    where: dict[str, str],
    run: dict[str, Any],
    told: dict[str, Any],
    job: Job,
    arrays: Arrays,
    found: Measured,
) -> None:
    """Fourth-order differences of Σ dy y, from the y's at the moved inputs."""
    moved, h = told.get("moved", {}), run["h"]
    dy = job.arrays[run["dy"]].reshape(-1)
    raw: Arrays = {}
    for role, name in where.items():
        x = job.arrays[name]
        if f"{name} along" in moved and role in case.inputs:
            values = arrays[moved[f"{name} along"]] @ dy
            found.slopes[role] = float(_difference(values.reshape(1, 4), h)[0])
            found.directions[role] = np.asarray(
                layout.way(role).back(job.arrays[run["directions"][name]], case.inputs[role].shape)
            )
        if name in moved:
            values = (arrays[moved[name]] @ dy).reshape(-1, 4)
            full = np.full(x.size, np.nan)
            full[: len(values)] = _difference(values, h)
            raw[role] = full.reshape(x.shape)
    for role, x in layout.split(raw).items():
        if role in case.inputs:
            found.numeric[role] = np.asarray(layout.way(role).back(x, case.inputs[role].shape))


def _difference(values: np.ndarray, h: float) -> np.ndarray:
    """f′(0) of rows f(−2h), f(−h), f(h), f(2h), as `minigpt.lab.testing.central_difference`."""
    return (values[:, 0] - 8 * values[:, 1] + 8 * values[:, 2] - values[:, 3]) / (12 * h)
