"""What the commands that try a model on tasks share: the arguments, where the examples are, how a score is printed."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping

from minigpt.cli.common import at_least, only_text
from minigpt.core.errors import UserError
from minigpt.evaluate.task_data import TaskData, answered, draw, measured_split
from minigpt.tasks import Task
from minigpt.tasks.metrics import Score, check_packages
from minigpt.tasks.world import task_folder

OTHERS = ("train", "dev")  # parts that examples may be taken from that are not measured on, in this order
_MOST_OTHERS = 1000


def add_task_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", metavar="DIR", help="the folder with the task's files; by default the task made from the story world"
    )
    parser.add_argument(
        "--split", metavar="PART", help="what is measured on; by default test, or dev where test has no answers"
    )
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="measure on N examples, drawn by the seed")
    parser.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="of all that is drawn")


def find_task(name: str, known: Mapping[str, Task]) -> Task:
    """The task of that name; a UserError names the nearest one."""
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise UserError(f"unknown task {name!r}: {hint}")
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


def described(score: Score) -> str:
    """A score with its 95% interval: "accuracy 0.812 (0.780–0.844)". All are shares but for BLEU and perplexity."""
    digits = 2 if score.metric in ("bleu", "perplexity") else 3
    return f"{score.metric} {score.value:.{digits}f} ({score.low:.{digits}f}–{score.high:.{digits}f})"
