"""Which examples of a task a model is measured on, and which others choose a threshold or stand in the context."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.tasks import Example, Task
from minigpt.tasks.metrics import reference

# The parts `test` of these have published answers. Of all others (GLUE, SQuAD, SWAG, COPA) `dev` is measured on.
PUBLIC_TESTS = (
    *("snli", "story-cloze", "race", "race-middle", "race-high", "cbt-cn", "cbt-ne"),
    *("lambada", "dprd", "winograd", "cnn-dm", "xsum", "translation"),
)


class TaskData(NamedTuple):
    """A task, the examples that a model is measured on, and others that it is not."""

    task: Task
    examples: list[Example]
    others: list[Example]


def measured_split(task: Task, split: str | None = None) -> str:
    """The part to measure on: the one that was asked for, else `test` if its answers are published, else `dev`."""
    return split or ("test" if task.name in PUBLIC_TESTS else "dev")


def answered(task: Task, folder: Path, split: str, limit: int | None = None, seed: int = 0) -> list[Example]:
    """The examples of a part that have answers; at most `limit` of them, drawn by the seed, in the order of the file.

    Raises:
        UserError: there is no such part, it is damaged, or none of its examples has an answer.
    """
    examples = [example for example in task.read(folder, split) if reference(example) is not None]
    if not examples:
        raise UserError(f"the {split} part of {task.name} in {folder} has no answers to compare with")
    return draw(examples, limit, seed)


def draw(examples: Sequence[Example], limit: int | None, seed: int) -> list[Example]:
    """At most so many of the examples, drawn by the seed, in their order."""
    if limit is None or limit >= len(examples):
        return list(examples)
    chosen = np.random.default_rng(seed).permutation(len(examples))[:limit]
    return [examples[i] for i in sorted(chosen.tolist())]
