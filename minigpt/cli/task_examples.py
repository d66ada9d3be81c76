"""What the commands that try a model on tasks share: the task, where its examples are, how a score is printed."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from minigpt.cli.common import only_text
from minigpt.core.errors import UserError
from minigpt.core.settings import unknown
from minigpt.evaluate.task_data import TaskData, answered, draw, measured_split
from minigpt.tasks import Task
from minigpt.tasks.metrics import Score, check_packages
from minigpt.tasks.world import task_folder

OTHERS = ("train", "dev")  # parts that examples may be taken from that are not measured on, in this order
_MOST_OTHERS = 1000


def find_task(name: str, known: Mapping[str, Task]) -> Task:
    """The task of that name; a UserError names the nearest one."""
    if name not in known:
        raise UserError(unknown("task", name, known))
    return known[name]


def read_task(args: argparse.Namespace, task: Task, *, others: bool) -> TaskData:
    """The examples to measure on and, where they are needed, others.

    Raises:
        UserError: the files are missing or damaged, or have no answers; a metric needs a package that is not installed.
    """
    check_packages(task.metrics)
    folder = task_folder(task.name, None if args.data is None else only_text("--data", args.data))
    split = measured_split(task, args.split)
    examples = answered(task, folder, split, args.limit, args.seed)
    rest = next(name for name in OTHERS if name != split) if others else None
    return TaskData(task, examples, draw(answered(task, folder, rest), _MOST_OTHERS, args.seed) if rest else [])


def interval(score: Score) -> dict[str, float]:
    """A score with its 95% interval, for --json."""
    return {"value": score.value, "low": score.low, "high": score.high}


def described(score: Score) -> str:
    """A score with its 95% interval: "accuracy 0.812 (0.780–0.844)". All are shares but for BLEU and perplexity."""
    digits = 2 if score.metric in ("bleu", "perplexity") else 3
    return f"{score.metric} {score.value:.{digits}f} ({score.low:.{digits}f}–{score.high:.{digits}f})"
