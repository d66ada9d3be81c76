"""How a model without training on a task gets better at it while it is pretrained: GPT's figure 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from minigpt.core.errors import UserError
from minigpt.evaluate.task_data import TaskData
from minigpt.evaluate.zeroshot import Finding, Settings, zero_shot
from minigpt.interop.loaded import load
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
    on_done: Callable[[int, Finding], object] = lambda step, finding: None,
) -> list[Curve]:
    """Measure every checkpoint of a run on every task.

    Args:
        on_done: called with the step of a checkpoint and what it scored on one task.
    Raises:
        UserError: the run has fewer than two checkpoints to compare.
    """
    paths = checkpoint_paths(run)
    if len(paths) < 2:
        raise UserError(
            f"{run} has {len(paths)} checkpoint; to see how skill grows, train with --set train.checkpoint_powers=true"
        )
    curves = [Curve(data.task.name, [], []) for data in tasks]
    for path in paths:
        step, loaded = int(path.name.removeprefix("step-")), load(path, backend=backend)
        for data, curve in zip(tasks, curves, strict=True):
            finding = zero_shot(loaded, data.task, data.examples, data.others, settings._replace(beside=False))
            curve.steps.append(step)
            curve.findings.append(finding)
            on_done(step, finding)
    return curves
