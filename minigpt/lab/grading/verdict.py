"""One answer of one student: called in a process of its own on inputs drawn for this grading, and judged here.

The process gets arguments and gives results. What is right, and which mistake a wrong result is, only this side knows,
so nothing that an answer prints, patches or writes can make it right.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.terminal import printable
from minigpt.lab.check.sandbox import Answer, Limits, run_job
from minigpt.lab.exercises.checks import Exercise, Function, NotAnswered, Value, WrongAnswer
from minigpt.lab.exercises.texts import TEXTS
from minigpt.lab.grading import values
from minigpt.lab.grading.submissions import Notebook

HERE = Path(__file__).parent
PROGRAMS = tuple(HERE / name for name in ("student.py", "lock.py", "slicing.py", "values.py"))
LIMITS = Limits(cpu=10, wall=40.0)
_BYTES = 256 * 2**20  # of all arrays of an answer, each counted as often as it is named
_NOT_A_VALUE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError, MemoryError)


class Outcome(NamedTuple):
    """What became of an answer.

    Attributes:
        passed: None if a person has to look at it.
        share: of the inputs with which it is right.
        mistake: its name in a few words, "" if there is none.
        message: what the student is told.
        seconds: of a core.
    """

    passed: bool | None
    share: float
    mistake: str
    message: str
    seconds: float = 0.0


_NOTHING = Outcome(False, 0.0, "not answered", "It is not answered yet.")


def by_machine(exercise: Exercise) -> bool:
    """Whether an answer can be judged from the results of calls alone."""
    return bool(exercise.calls) or isinstance(exercise.check, (Function, Value))


def judge(
    name: str, exercise: Exercise, notebook: Notebook, seed: Sequence[int], limits: Limits | None = None
) -> Outcome:
    """Run and judge one answer.

    Args:
        seed: of the inputs; the student's process never sees it.
    Raises:
        UserError: this system cannot limit a process.
    """
    if not by_machine(exercise):
        return Outcome(None, 0.0, "", "This one is read by a person.")
    check, before = exercise.check, _processor_time()
    cases = check.cases(seed) if isinstance(check, Function) else list(exercise.calls)
    arrays: dict[str, np.ndarray] = {}
    job = {
        "cells": notebook.cells,
        "ids": notebook.ids,
        "name": name,
        "function": TEXTS[name].function,
        "calls": [[values.encode(x, arrays) for x in arguments] for arguments in cases],
    }
    answer = run_job("", job, arrays, limits or LIMITS, PROGRAMS)
    seconds = _processor_time() - before
    try:
        outcome = _judged(exercise, cases, answer)
    except _NOT_A_VALUE:
        outcome = _wrong("no answer", "Its process gave an answer that is none.")
    return outcome._replace(seconds=seconds)


def _processor_time() -> float:
    used = os.times()
    return used.children_user + used.children_system


def _wrong(mistake: str, message: str, share: float = 0.0) -> Outcome:
    return Outcome(False, share, printable(mistake), printable(message))


def _judged(exercise: Exercise, cases: Sequence[tuple], answer: Answer) -> Outcome:
    told = answer.told
    if answer.failure is not None:
        kind = "too much time" if "seconds" in answer.failure else "too much memory" if "GB" in answer.failure else ""
        return _wrong(kind or "ended its process", f"{answer.failure[0].upper()}{answer.failure[1:]}.")
    if "missing" in told:
        return _wrong("no answer found", f"{str(told['missing'])[:500]}.")
    if "error" in told:
        return _raised(told["error"])
    check, budget = exercise.check, [_BYTES]
    if "value" in told:
        value = values.decode(told["value"], answer.arrays, budget)
        return _NOTHING if value is None or value is ... else _outcome(lambda: check(value))
    calls = told["calls"]
    if not cases or len(calls) != len(cases):
        raise ValueError("not as many results as calls")
    if not isinstance(check, Function):
        return _in_order(check, calls, answer.arrays, budget)
    if check.before is not None:
        named = _Named(str(told["function"]))
        refused = _outcome(lambda: check.before(named))
        if not refused.passed:
            return refused
    outcomes = [_of_call(check, arguments, c, answer.arrays, budget) for arguments, c in zip(cases, calls, strict=True)]
    share = sum(bool(outcome.passed) for outcome in outcomes) / len(outcomes)
    first = next((outcome for outcome in outcomes if not outcome.passed), outcomes[0])
    known = next((o for o in outcomes if not o.passed and o.mistake != "wrong result"), first)
    return (known if first.mistake == "wrong result" else first)._replace(share=share)


class _Named:
    """Stands for a function that is not here: it has its name."""

    def __init__(self, name: str):
        self.__name__ = name


def _of_call(
    check: Function, arguments: tuple, call: dict[str, Any], arrays: dict[str, np.ndarray], budget: list[int]
) -> Outcome:
    if "error" in call:
        return _raised(call["error"])
    got = values.decode(call["result"], arrays, budget)
    changed = tuple(values.decode(x, arrays, budget) for x in call["after"])
    if len(changed) != len(arguments):
        raise ValueError("not as many arguments as there were")
    return _outcome(lambda: check.judge(arguments, got, changed))


def _in_order(check: Callable, calls: list, arrays: dict[str, np.ndarray], budget: list[int]) -> Outcome:
    """Of a check with a mind of its own: it gets the results one by one."""
    left = iter(calls)

    def replay(*_: Any) -> Any:
        call = next(left)
        if "error" in call:
            raise WrongAnswer(_raised(call["error"]).message)
        return values.decode(call["result"], arrays, budget)

    return _outcome(lambda: check(replay))


def _outcome(judged: Callable[[], None]) -> Outcome:
    try:
        judged()
    except NotAnswered:
        return _NOTHING
    except WrongAnswer as error:
        text = str(error)
        return _wrong(" ".join(error.mistakes) or "wrong result", text[0].upper() + text[1:600])
    return Outcome(True, 1.0, "", "Right.")


def _raised(error: dict[str, Any]) -> Outcome:
    kind, message, line = (str(error[key])[:300] for key in ("type", "message", "line"))
    where = "" if error["line"] is None else f" (line {line} of the cell)"
    if kind == "NotImplementedError":
        return _NOTHING
    if kind == "ImportError" and "minigpt" in message:
        return _wrong("uses minigpt", f"{message[0].upper()}{message[1:]}{where}.")
    if kind == "NameError":
        message += "; only what the answer itself needs was taken out of the notebook, and minigpt is not there"
    return _wrong(f"raises {kind}", f"It raises {kind}: {message}{where}.")
