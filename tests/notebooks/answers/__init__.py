"""Answers to the notebooks' exercises: the right one, and wrong ones that readers might well give.

`ANSWERS[k - 1]` in n03_objective.py answers exercise 03-objective/k.
"""

from typing import Any, NamedTuple


class Answer(NamedTuple):
    """The right answer to an exercise, and at least two wrong ones."""

    right: Any
    wrong: tuple[Any, ...]
