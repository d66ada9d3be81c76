"""All answers of all students: verdicts, points, a table and a page for each student.

Inputs are drawn anew for each grading, the same ones for every student, so that two equal answers get equal verdicts.
"""

from __future__ import annotations

import csv
import io
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from minigpt.core.errors import UserError, nearest
from minigpt.lab.check.sandbox import Limits, protects_files
from minigpt.lab.exercises import find_exercise
from minigpt.lab.exercises.texts import POINTS
from minigpt.lab.grading import lock
from minigpt.lab.grading.submissions import Submission
from minigpt.lab.grading.verdict import Outcome, by_machine, judge

COLUMNS = ("student", "exercise", "passed", "points", "mistake", "minutes")
UNPROTECTED = (
    "this system has neither bubblewrap nor Landlock and seccomp: answers run in processes of their own, with limits "
    "on time and memory, but your files and other processes are not protected from them"
)


class Row(NamedTuple):
    """One exercise of one student; `points` is None where a person has to give them."""

    student: str
    exercise: str
    outcome: Outcome
    points: float | None
    possible: float

    def values(self) -> dict[str, object]:
        """As JSON has it."""
        told = {"student": self.student, "exercise": self.exercise, "passed": self.outcome.passed}
        told |= {"points": self.points, "of": self.possible, "mistake": self.outcome.mistake}
        return told | {"message": self.outcome.message, "seconds": self.outcome.seconds}


class Rules(NamedTuple):
    """How verdicts become points.

    Attributes:
        points: by exercise, or by notebook for each of its exercises; else 2 for a function and 1 for a value.
        late: the percentage taken off, by student.
        partial: whether points are shared out over the inputs.
    """

    points: Mapping[str, float] = {}
    late: Mapping[str, float] = {}
    partial: bool = False

    def possible(self, name: str) -> float:
        return self.points.get(name, self.points.get(name.partition("/")[0], POINTS[name]))

    def given(self, student: str, name: str, outcome: Outcome) -> float | None:
        if outcome.passed is None:
            return None
        share = outcome.share if self.partial else float(outcome.passed)
        return round(self.possible(name) * share * (1 - self.late.get(student, 0) / 100), 2)


def numbers(option: str, given: Sequence[str], most: float = 1e6) -> dict[str, float]:
    """NAME=NUMBER, several times.

    Raises:
        UserError: one of them is something else.
    """
    found = {}
    for text in given:
        name, _, number = text.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = math.nan
        if not name or not 0 <= found[name] <= most:
            raise UserError(f"{option} {text} is not NAME=NUMBER with a number from 0 to {most:g}")
    return found


def is_protected() -> bool:
    """Whether files and other processes are safe from answers here."""
    return protects_files() or (lock.landlock() > 0 and lock.seccomp())


def names_of(chosen: Sequence[str]) -> list[str]:
    """The exercises that are named, by themselves or by their notebook.

    Raises:
        UserError: there is no such exercise or notebook.
    """
    notebooks = list(dict.fromkeys(name.partition("/")[0] for name in POINTS))
    for name in chosen:
        if name not in POINTS and name not in notebooks:
            raise UserError(f"there is no exercise or notebook {name!r}: {nearest(name, [*notebooks, *POINTS])}")
    return [name for name in POINTS if name in chosen or name.partition("/")[0] in chosen]


def grade(
    submissions: Sequence[Submission],
    rules: Rules,
    only: Sequence[str] = (),
    seed: int | None = None,
    limits: Limits | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Judge every answer.

    Args:
        only: exercises and notebooks; by default the notebooks of which any student has handed in anything.
        seed: of the inputs; by default a secret one.
        told: gets a student's name before the student's answers are judged.
    Raises:
        UserError: an unknown name in `only` or in the rules, or nobody has handed in anything.
    """
    names_of(list(rules.points))
    for student in rules.late:
        if student not in (known := [submission.student for submission in submissions]):
            raise UserError(f"there is no student {student!r}: {nearest(student, known)}")
    wanted, order = names_of(only) or _handed_in(submissions), list(POINTS)
    seed = secrets.randbits(64) if seed is None else seed
    rows = []
    for submission in submissions:
        told(submission.student)
        for name in wanted:
            outcome = _outcome(submission, name, (seed, order.index(name)), limits)
            points = rules.given(submission.student, name, outcome)
            rows.append(Row(submission.student, name, outcome, points, rules.possible(name)))
    return rows


def _handed_in(submissions: Sequence[Submission]) -> list[str]:
    books = {name.partition("/")[0] for one in submissions for notebook in one.notebooks for name in notebook.answers}
    if not books:
        raise UserError("no file has an answer to any exercise; `minigpt exercises list` names what answers are called")
    return names_of(sorted(books))


def _outcome(submission: Submission, name: str, seed: Sequence[int], limits: Limits | None) -> Outcome:
    notebook = submission.newest(name)
    if notebook is None:
        return Outcome(False, 0.0, "not handed in", " ".join(["It was not handed in.", *submission.problems]))
    return judge(name, find_exercise(name), notebook, seed, limits)


def as_csv(rows: Sequence[Row]) -> str:
    """The table; a text that a spreadsheet would take for a formula gets a ' before it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        passed = {None: "by hand", True: "yes", False: "no"}[row.outcome.passed]
        points = "" if row.points is None else f"{row.points:g}"
        minutes = f"{row.outcome.seconds / 60:.4f}"
        writer.writerow([_cell(row.student), row.exercise, passed, points, _cell(row.outcome.mistake), minutes])
    return file.getvalue()


def _cell(text: str) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def summary(rows: Sequence[Row]) -> str:
    """A line for each student."""
    lines = []
    for student in dict.fromkeys(row.student for row in rows):
        own = [row for row in rows if row.student == student]
        points = sum(row.points or 0.0 for row in own)
        possible = sum(row.possible for row in own if row.points is not None)
        right = sum(bool(row.outcome.passed) for row in own)
        hand = sum(row.points is None for row in own)
        more = f", {hand} to be read by a person" if hand else ""
        lines.append(f"{_cell(student):<24} {points:g} of {possible:g} points, {right} of {len(own)} right{more}")
    return "\n".join(lines)


def left_to_people(names: Sequence[str]) -> list[str]:
    """The exercises that no machine judges."""
    return [name for name in names if not by_machine(find_exercise(name))]
