"""How a model without training on a task gets better at it while it is pretrained: GPT's figure 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minigpt.core.errors import UserError
from minigpt.core.progress import progress_bar
from minigpt.distributed.ranks import ALONE, Ranks
from minigpt.evaluate.task_data import TaskData
from minigpt.evaluate.zeroshot import Finding, Settings, zero_shot
from minigpt.interop.loaded import load
from minigpt.lab import plot
from minigpt.train.integrity import checkpoint_paths


class Curve(NamedTuple):
    """What each of a run's checkpoints scores on one task: steps and findings, in their order."""

    task: str
    steps: list[int]
    findings: list[Finding]


def skill_curves(
    run: Path,
    tasks: Sequence[TaskData],
    settings: Settings,
    *,
    backend: str = "numpy",
    ranks: Ranks = ALONE,
    on_done: Callable[[int, Finding], object] = lambda step, finding: None,
) -> list[Curve]:
    """Measure every checkpoint of a run on every task.

    Args:
        ranks: among which the checkpoints are shared out.
        on_done: called with the step of a checkpoint and what it scored on one task.
    Raises:
        UserError: the run has fewer than two checkpoints to compare.
    """
    paths = checkpoint_paths(run)
    if len(paths) < 2:
        raise UserError(
            f"{run} has {len(paths)} checkpoint; to see how skill grows, train with --set train.checkpoint_powers=true"
        )
    found: dict[tuple[int, str], Finding] = {}
    for path in paths[ranks.rank :: ranks.size]:
        step, loaded = int(path.name.removeprefix("step-")), load(path, backend=backend)
        for data in tasks:
            finding = zero_shot(loaded, data.task, data.examples, data.others, settings._replace(beside=False))
            found[step, data.task.name] = finding
            on_done(step, finding)
    every = {key: finding for part in ranks.all(found, "measuring its checkpoints") for key, finding in part.items()}
    steps = [int(path.name.removeprefix("step-")) for path in paths]
    names = [data.task.name for data in tasks]
    return [Curve(name, steps, [every[step, name] for step in steps]) for name in names]


def drawn_curves(
    run: Path, path: Path, tasks: Sequence[TaskData], settings: Settings, backend: str, ranks: Ranks
) -> tuple[dict[str, Any], str]:
    """`skill_curves` with a progress bar, drawn into a picture by rank 0: values and text."""
    total = -(-len(checkpoint_paths(run)) // ranks.size) * len(tasks)
    with progress_bar(total=total, unit="measurement", leave=False) as bar:
        how: dict[str, Any] = {"backend": backend, "ranks": ranks, "on_done": lambda step, finding: bar.update()}
        curves = skill_curves(run, tasks, settings, **how)
    if ranks.first:
        plot.save_figure(plot.skill_figure(curves), path)
    values = {"run": str(run), "figure": str(path), "curves": {c.task: curve_values(c) for c in curves}}
    meaning = "skill = (score − chance)/(best − chance); " + "; ".join(constants(c) for c in curves)
    return values, f"{skill_table(curves)}\n{meaning}\n{path}"


def constants(curve: Curve) -> str:
    """What a curve's skill is made of: "sst2: accuracy, chance 0.500"."""
    metric = curve.findings[-1].scores[0].metric
    return f"{curve.task}: {metric}, chance {curve.findings[-1].chance:.3f}, best {100 if metric == 'bleu' else 1}"


def skill_table(curves: list[Curve]) -> str:
    """A line for each checkpoint, a column for each task's skill."""
    widths = [max(len(curve.task), 6) for curve in curves]
    head = "  ".join(["  step", *(curve.task.rjust(width) for curve, width in zip(curves, widths, strict=True))])
    lines = [head]
    for i, step in enumerate(curves[0].steps):
        cells = [f"{curve.findings[i].skill:{width}.3f}" for curve, width in zip(curves, widths, strict=True)]
        lines.append("  ".join([f"{step:6}", *cells]))
    return "\n".join(lines)


def curve_values(curve: Curve) -> dict[str, Any]:
    last = curve.findings[-1]
    return {
        "metric": last.scores[0].metric,
        "chance": last.chance,
        "count": last.scores[0].count,
        "steps": curve.steps,
        "scores": [f.value for f in curve.findings],
        "skill": [f.skill for f in curve.findings],
    }
