"""The notebooks' exercises: `check_exercise("03-objective/1", answer)` says whether an answer is right, or why not.

Exercise k of notebooks/03-objective.ipynb is number k − 1 of `EXERCISES` in n03_objective.py: a hint
and a check, which runs the reader's function on inputs of its own, or compares a value with what the library computes.
The answers themselves are not in this package; tests/notebooks has them.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

from minigpt.core.errors import UserError
from minigpt.lab.exercises.checks import Exercise, NotAnswered, WrongAnswer, fold
from minigpt.lab.exercises.texts import TEXTS

__all__ = ["Exercise", "WrongAnswer", "check_exercise", "exercise_names", "find_exercise", "hint"]


_ASKED: dict[str, int] = {}  # how often a hint was asked for


def check_exercise(name: str, answer: Any, graded: bool = False) -> None:
    """Print whether the answer to an exercise is right.

    An exercise that nobody has answered yet (None, `...`, or a function that returns one of them) is no error: its hint
    is printed, and the notebook runs on.

    Args:
        name: such as "03-objective/1".
        graded: in a course: hints are given by `hint` alone, and what is not answered is not right.
    Raises:
        WrongAnswer: it is not right; the message says what is wrong.
        UserError: there is no such exercise.
    """
    exercise = find_exercise(name)
    more = f'hint("{name}") gives a hint.' if graded else f"Hint: {exercise.hint}"
    try:
        if answer is None or answer is ...:
            raise NotAnswered
        exercise.check(answer)
    except NotAnswered:
        said = f"{name} is not answered yet. {more}"
        if graded:
            raise WrongAnswer(said) from None
        print(fold(said))
    except WrongAnswer as error:
        raise WrongAnswer(f"{name} is not right yet: {error} {more}") from None
    else:
        print(f"{name} is right.")


def hint(name: str) -> None:
    """Print a hint for an exercise: a nudge the first time that it is asked for, then one that says more.

    Raises:
        UserError: there is no such exercise.
    """
    exercise = find_exercise(name)
    _ASKED[name] = _ASKED.get(name, 0) + 1
    if _ASKED[name] == 1:
        print(fold(f'{TEXTS[name].nudge} (hint("{name}") again says more.)'))
    else:
        print(fold(exercise.hint))


def find_exercise(name: str) -> Exercise:
    """Return an exercise by its name.

    Raises:
        UserError: there is no such exercise.
    """
    notebook, _, number = name.partition("/")
    exercises = _exercises(_module(notebook)) if _module(notebook) in _modules() else ()
    if not (number.isdecimal() and 1 <= int(number) <= len(exercises)):
        raise UserError(
            f"there is no exercise {name!r}; a name is that of a notebook and a number, as in 03-objective/1"
        )
    return exercises[int(number) - 1]


def exercise_names() -> list[str]:
    """The names of all exercises, in the order of the notebooks."""
    return [
        f"{module[1:].replace('_', '-')}/{number}"
        for module in _modules()
        for number in range(1, len(_exercises(module)) + 1)
    ]


def _module(notebook: str) -> str:
    return "n" + notebook.replace("-", "_")


def _modules() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name[1:3].isdecimal())


def _exercises(module: str) -> tuple[Exercise, ...]:
    return import_module(f"{__name__}.{module}").EXERCISES
