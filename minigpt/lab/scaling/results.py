"""What a family shows: losses by N, D and C, the laws fitted to them, a prediction that is checked, few-shot scores.

N and C leave out embeddings and the output layer, as in Kaplan et al. (2020) and GPT-3's figure 3.1; in models as small
as these they are a large part of the arithmetic, so C is not what a run costs (`minigpt plan` counts that).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.evaluate.fewshot import few_shot
from minigpt.evaluate.task_data import TaskData, draw
from minigpt.interop.loaded import load
from minigpt.lab.scaling.family import Family, Member, is_finished, members, non_embedding
from minigpt.lab.scaling.laws import (
    Interval,
    Joint,
    Law,
    Points,
    Power,
    bootstrap,
    deviations,
    fit_joint,
    fit_power,
    frontier,
    interval,
    prediction_interval,
)
from minigpt.tasks.world.labels import LABELS
from minigpt.train.log import read_log
from minigpt.train.run_folder import load_config

SHOTS = (0, 1, 2, 4, 8)
QUESTIONS = 300
RULE = "unconditional"  # labels differ in how probable they are anywhere, so that is taken off (see evaluate.scoring)
FIRST = 2  # the evaluation that fits begin with; 0 is before training, and up to 1 the warm-up still shows
_DRAWS = 200


class Fit(NamedTuple):
    """A law and the intervals of its exponents, by name."""

    law: Law
    intervals: dict[str, Interval]
    laws: list[Law]


class Prediction(NamedTuple):
    """What the laws, fitted without the largest size, say of it at the end of its training."""

    run: str
    ratio: float  # its size over that of the largest that was fitted
    measured: float  # its loss
    predicted: float
    interval: Interval
    error: float  # of loss − floor: predicted over measured, − 1


class Results(NamedTuple):
    """Everything measured and fitted.

    Attributes:
        points: every run's evaluations but the first (see FIRST). names: of the runs that points.run counts.
        fits: by what they are a law of: "parameters", "tokens", "compute", "joint".
        unknown: the joint law as it comes out where the floor is fitted as well, to compare with the known one.
        predictions: by "joint" and "parameters". shots: for each run name, [(K, accuracy, low, high)].
    """

    floor: float | None
    points: Points
    names: list[str]
    efficient: np.ndarray
    fits: dict[str, Fit]
    unknown: Joint
    predictions: dict[str, Prediction]
    shots: dict[str, list[tuple[int, float, float, float]]]
    chance: float | None


def read_points(folder: Path, family: Family) -> tuple[Points, list[str]]:
    """The losses of all finished runs at every evaluation from `FIRST` on.

    Raises:
        UserError: fewer than three sizes are finished.
    """
    rows, names = [], []
    for member in members(folder, family):
        if not is_finished(member.folder, family):
            continue
        n = non_embedding(load_config(member.folder))
        at = {line["step"]: line["val_loss"] for line in read_log(member.folder) if "val_loss" in line}
        rows += [(n, step * family.step_tokens, loss, len(names)) for step, loss in sorted(at.items())[FIRST:]]
        names.append(member.name)
    if len({row[0] for row in rows}) < 3:
        raise UserError(f"{folder} has {len(names)} finished runs; a law needs at least three sizes")
    n, d, losses, run = (np.array(column) for column in zip(*rows, strict=True))
    return Points(n.astype(float), d.astype(float), losses, run.astype(int)), names


def fitted_laws(points: Points, floor: float | None, *, seed: int = 0) -> dict[str, Fit]:
    """One law for each quantity, each with what belongs to it.

    N: every run at the end of its training. D: the largest model's evaluations on the way. C: the points on the
    compute-efficient frontier. Both: all points.
    """
    last, largest = points.tokens == points.tokens.max(), points.parameters == points.parameters.max()
    efficient = frontier(points.compute, points.losses)
    chosen = {"parameters": points.where(last), "tokens": points.where(largest), "compute": points.where(efficient)}
    fits = {}
    for of, some in chosen.items():
        if len(np.unique(getattr(some, of))) >= (3 if floor is None else 2):
            fits[of] = _power(some, of, floor, seed)
    law = fit_joint(points, floor)
    laws = bootstrap(points, law, lambda p: fit_joint(p, floor, law), draws=_DRAWS, seed=seed)
    names = ("alpha", "beta") if floor is not None else ("floor", "alpha", "beta")
    fits["joint"] = Fit(law, {name: interval([getattr(one, name) for one in laws]) for name in names}, laws)
    return fits


def _power(points: Points, of: str, floor: float | None, seed: int) -> Fit:
    law = fit_power(points, of, floor)
    if of == "tokens":  # points of one run: each counts for itself
        points = points._replace(run=np.arange(len(points.losses)))
    laws = bootstrap(points, law, lambda p: fit_power(p, of, floor), draws=_DRAWS, seed=seed)
    names = ("exponent",) if floor is not None else ("floor", "exponent")
    return Fit(law, {name: interval([getattr(one, name) for one in laws]) for name in names}, laws)


def predict_largest(points: Points, names: Sequence[str], floor: float | None) -> dict[str, Prediction]:
    """Fit without the largest size, and compare what the laws say of it with what was measured.

    Raises:
        UserError: too few sizes are left.
    """
    largest = points.parameters == points.parameters.max()
    fitted = points.where(~largest)
    fits = fitted_laws(fitted, floor)
    held = points.where(largest & (points.tokens == points.tokens.max()))
    mean = held.where(np.array([0]))._replace(losses=np.array([held.losses.mean()]))
    ratio = float(held.parameters[0] / fitted.parameters.max())
    found = {}
    for kind in ("parameters", "joint"):
        fit = fits[kind]
        used = fitted if kind == "joint" else fitted.where(fitted.tokens == fitted.tokens.max())
        predicted = float(fit.law.at(mean)[0])
        bounds = prediction_interval(fit.laws, fit.law, used, mean)
        error = math.expm1(-float(deviations(fit.law, mean)[0]))
        name = names[int(held.run[0])]
        found[kind] = Prediction(name, ratio, float(mean.losses[0]), predicted, bounds, error)
    return found


def measure(
    folder: Path,
    family: Family,
    *,
    shots: Sequence[int] = SHOTS,
    questions: int = QUESTIONS,
    on_shots: Callable[[Member, int], object] = lambda member, shots: None,
) -> Results:
    """Read the logs, fit, predict, and ask.

    Args:
        shots: numbers of examples; none: nothing is asked. questions: how many are asked, of the same lists every time.
    """
    points, names = read_points(folder, family)
    floor = family.floor
    answers: dict[str, list[tuple[int, float, float, float]]] = {}
    chance = None
    data = TaskData(LABELS, draw(LABELS.read("", "test"), questions, 0), []) if shots else None
    for member in members(folder, family) if data else []:
        if member.seed == 0 and is_finished(member.folder, family):
            loaded = load(member.folder)
            for k in sorted(set(shots)):
                on_shots(member, k)
                score = few_shot(loaded, data, k, rule=RULE).score
                chance = score.baseline
                answers.setdefault(member.name, []).append((k, score.value, score.low, score.high))
    predictions = predict_largest(points, names, floor) if len(np.unique(points.parameters)) > 3 else {}
    efficient = frontier(points.compute, points.losses)
    fits = fitted_laws(points, floor)
    unknown = fits["joint"].law if floor is None else fit_joint(points)
    return Results(floor, points, names, efficient, fits, unknown, predictions, answers, chance)


def values(r: Results) -> dict[str, Any]:
    """For results.json and --json."""
    p = r.points
    columns = zip(p.parameters, p.tokens, p.compute, p.losses, p.run, strict=True)
    points = [
        {"run": r.names[int(run)], "parameters": int(n), "tokens": int(d), "compute": float(c), "loss": float(loss)}
        for n, d, c, loss, run in columns
    ]
    return {
        "floor": r.floor,
        "points": points,
        "frontier": r.efficient.tolist(),
        "fits": {of: f.law._asdict() | {"intervals": f.intervals} for of, f in r.fits.items()},
        "joint_with_fitted_floor": r.unknown._asdict(),
        "predictions": {of: x._asdict() for of, x in r.predictions.items()},
        "shots": {
            name: [dict(zip(("shots", "accuracy", "low", "high"), s, strict=True)) for s in some]
            for name, some in r.shots.items()
        },
        "chance": r.chance,
    }


def text(r: Results) -> str:
    """The results as lines to read."""
    e = "floor" if r.floor is not None else "fitted floor"
    lines = [] if r.floor is None else [f"floor: {r.floor:.4f} nats per token, the entropy of the validation text"]
    last = r.points.where(r.points.tokens == r.points.tokens.max())
    for n, loss, run in zip(last.parameters, last.losses, last.run, strict=True):
        above = f", {loss - r.floor:.4f} above the floor" if r.floor is not None else ""
        lines.append(f"  {r.names[int(run)]:<16}{int(n):>9,} parameters  loss {loss:.4f}{above}")
    symbols = {"parameters": "N", "tokens": "D", "compute": "C"}
    for of, fit in r.fits.items():
        if isinstance(fit.law, Power):
            law = f"loss - {e} = ({fit.law.scale:.3g} / {symbols[of]})^{fit.law.exponent:.3f}"
        else:
            law = _joint_text(fit.law, e)
        bounds = ", ".join(f"{name} [{low:.3f}, {high:.3f}]" for name, (low, high) in fit.intervals.items())
        lines.append(f"{law}   95%: {bounds}")
    if r.floor is not None:
        x = r.unknown
        lines.append(
            f"  were the floor not known: floor {x.floor:.4f}, alpha {x.alpha:.3f}, beta {x.beta:.3f} from N and D"
        )
    for of, x in r.predictions.items():
        lines.append(
            f"{x.run}, {x.ratio:.2f} times the largest fitted: {x.predicted:.4f} predicted from "
            f"{'N and D' if of == 'joint' else 'N'} [{x.interval.low:.4f}, {x.interval.high:.4f}], "
            f"{x.measured:.4f} measured; loss - {e} off by {100 * x.error:+.1f}%"
        )
    for name, some in r.shots.items():
        lines.append(f"  {name:<16}" + "  ".join(f"K={k} {100 * value:.0f}%" for k, value, _, _ in some))
    if r.chance is not None:
        lines.append(f"  accuracy of labels that only the K examples before explain; guessing {100 * r.chance:.0f}%")
    return "\n".join(lines)


def _joint_text(law: Joint, e: str) -> str:
    said = f"loss - {e} = {law.a:.3g} / N^{law.alpha:.3f} + {law.b:.3g} / D^{law.beta:.3f}"
    if not (law.alpha > 0 and law.beta > 0):  # more is not better, so there is nothing to weigh
        return f"{said} (no best split of C: an exponent is not above 0)"
    n, d = law.optimum(1e15)
    return f"{said} (best for C = 1e15: N {n:.2g}, D {d:.2g})"
