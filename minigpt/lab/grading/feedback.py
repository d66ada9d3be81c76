"""A page for each student: which answers are right, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from minigpt.core.files import write_atomically
from minigpt.lab.exercises.texts import TEXTS
from minigpt.lab.grading.grade import Row

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{student}</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em }}
h2 {{ font-size: 1em; margin-bottom: 0 }} p {{ margin-top: 0; overflow-wrap: anywhere }}
.right {{ color: #176d2c }} .wrong {{ color: #a01c1c }} .open {{ color: #555 }}</style>
<h1>{student}</h1>
<p>{total}</p>
{parts}
</html>
"""


def page(student: str, rows: Sequence[Row], problems: Sequence[str] = ()) -> str:
    """HTML without scripts; everything that comes from a student is escaped."""
    points = sum(row.points or 0.0 for row in rows)
    possible = sum(row.possible for row in rows)
    total = f"{points:g} of {possible:g} points." + "".join(f" {problem}." for problem in problems)
    return _PAGE.format(student=escape(student), total=escape(total), parts="\n".join(map(_part, rows)))


def _part(row: Row) -> str:
    passed = row.outcome.passed
    kind, word = {True: ("right", "right"), False: ("wrong", "not right yet"), None: ("open", "not judged yet")}[passed]
    points = f"{row.possible:g}" if row.points is None else f"{row.points:g} of {row.possible:g}"
    ask = "" if passed is not False else f" In the notebook, hint(&quot;{row.exercise}&quot;) gives a hint."
    title = escape(f"{row.exercise} {TEXTS[row.exercise].title}")
    said = "" if passed else escape(row.outcome.message)
    return f'<h2 class="{kind}">{title}: {word} ({points} points)</h2>\n<p>{said}{ask}</p>'


def write_pages(folder: Path, rows: Sequence[Row], problems: dict[str, list[str]]) -> int:
    """Write STUDENT.html for each student into a folder; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    students = list(problems)
    for student in students:
        own = [row for row in rows if row.student == student]
        write_atomically(folder / f"{student}.html", page(student, own, problems[student]))
    return len(students)
