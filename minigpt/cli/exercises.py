"""minigpt exercises: the notebooks' exercises for a course. They are listed, given out, and graded."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from minigpt.cli.common import new_path, show
from minigpt.core.errors import UserError
from minigpt.core.files import write_atomically
from minigpt.core.terminal import sentence
from minigpt.lab.exercises.texts import POINTS, TEXTS
from minigpt.lab.grading import feedback, release
from minigpt.lab.grading.grade import (
    UNPROTECTED,
    Row,
    Rules,
    as_csv,
    grade,
    is_protected,
    left_to_people,
    names_of,
    summary,
)
from minigpt.lab.grading.submissions import read_submissions


def run_list(args: argparse.Namespace) -> None:
    names = names_of(args.names) if args.names else list(POINTS)
    hand = left_to_people(names)
    lines, notebook = [], ""
    for name in names:
        if name.partition("/")[0] != notebook:
            notebook = name.partition("/")[0]
            lines.append(notebook)
        note = "  (read by a person)" if name in hand else ""
        function = f"  {TEXTS[name].function}" if TEXTS[name].function else ""
        lines.append(f"  {name.partition('/')[2]}  {POINTS[name]} points  {TEXTS[name].title}{function}{note}")
    values = [
        {"exercise": name, **TEXTS[name]._asdict(), "points": POINTS[name], "by_hand": name in hand} for name in names
    ]
    show(args, {"exercises": values}, "\n".join(line.replace("1 points", "1 point ") for line in lines))


def run_release(args: argparse.Namespace) -> None:
    source = Path(args.notebooks) if args.notebooks else release.notebooks_folder()
    paths = sorted(source.glob("*.ipynb"))
    known = [path.stem for path in paths]
    if missing := [name for name in args.names if name not in known]:
        raise UserError(f"there is no notebook {missing[0]} in {source}")
    chosen = [path for path in paths if not args.names or path.stem in args.names]
    if not chosen:
        raise UserError(f"there are no notebooks in {source}")
    folder = Path(args.folder)
    there = [path.name for path in chosen if (folder / path.name).exists()]
    if there and not args.force:
        raise UserError(f"{folder / there[0]} exists; replace it with --force")
    texts = {path.name: release.released(release.read_notebook(path)) for path in chosen}
    folder.mkdir(parents=True, exist_ok=True)
    for name, notebook in texts.items():
        write_atomically(folder / name, json.dumps(notebook, ensure_ascii=False, indent=1) + "\n")
    text = f"{folder}: {len(texts)} notebooks for students, without answers; hints are given on request"
    show(args, {"folder": str(folder), "notebooks": list(texts)}, text)


def run_grade(args: argparse.Namespace) -> None:
    out = new_path(args.out, (".csv",), "CSV", force=args.force) if args.out else None
    rules = Rules(_numbers("--points", args.points), _numbers("--late", args.late, most=100), args.partial)
    submissions = read_submissions(Path(args.folder))
    if not is_protected():
        print(f"minigpt: {UNPROTECTED}", file=sys.stderr)
    rows = grade(submissions, rules, args.only, args.seed, told=_say)
    problems = {submission.student: submission.problems for submission in submissions}
    for student, sentences in problems.items():
        for text in sentences:
            print(f"minigpt: {sentence(f'{student}: {text}')}", file=sys.stderr)
    if args.feedback:
        feedback.write_pages(Path(args.feedback), rows, problems)
    if out is not None:
        write_atomically(out, as_csv(rows))
    show(args, {"rows": [_as_dict(row) for row in rows]}, summary(rows) if out else as_csv(rows).rstrip("\n"))


def _say(student: str) -> None:
    print(f"minigpt: grading {sentence(student)}", file=sys.stderr)


def _as_dict(row: Row) -> dict[str, object]:
    outcome = row.outcome
    told = {"student": row.student, "exercise": row.exercise, "passed": outcome.passed, "points": row.points}
    return told | {
        "of": row.possible,
        "mistake": outcome.mistake,
        "message": outcome.message,
        "seconds": outcome.seconds,
    }


def _numbers(option: str, given: Sequence[str], most: float = 1e6) -> dict[str, float]:
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
