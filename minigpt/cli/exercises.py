"""minigpt exercises: the notebooks' exercises for a course. They are listed, given out, and graded."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from minigpt.cli.common import new_path, show
from minigpt.core.files import write_atomically
from minigpt.core.terminal import sentence
from minigpt.lab.exercises.texts import POINTS
from minigpt.lab.grading import feedback, grade, listing, release
from minigpt.lab.grading.submissions import read_submissions


def run_list(args: argparse.Namespace) -> None:
    names = grade.names_of(args.names) if args.names else list(POINTS)
    show(args, {"exercises": listing.values(names)}, listing.text(names))


def run_release(args: argparse.Namespace) -> None:
    source, folder = Path(args.notebooks) if args.notebooks else release.notebooks_folder(), Path(args.folder)
    made = release.release(source, folder, args.names, force=args.force)
    text = f"{folder}: {len(made)} notebooks for students, without answers; hints are given on request"
    show(args, {"folder": str(folder), "notebooks": made}, text)


def run_grade(args: argparse.Namespace) -> None:
    out = new_path(args.out, (".csv",), "CSV", force=args.force) if args.out else None
    points, late = grade.numbers("--points", args.points), grade.numbers("--late", args.late, most=100)
    submissions = read_submissions(Path(args.folder))
    if not grade.is_protected():
        print(f"minigpt: {grade.UNPROTECTED}", file=sys.stderr)
    rows = grade.grade(submissions, grade.Rules(points, late, args.partial), args.only, args.seed, told=_say)
    table = grade.as_csv(rows)
    problems = {submission.student: submission.problems for submission in submissions}
    for student, sentences in problems.items():
        for text in sentences:
            print(f"minigpt: {sentence(f'{student}: {text}')}", file=sys.stderr)
    if args.feedback:
        feedback.write_pages(Path(args.feedback), rows, problems)
    if out is not None:
        write_atomically(out, table)
    text = grade.summary(rows) if out else table.rstrip("\n")
    show(args, {"rows": [row.values() for row in rows]}, text)


def _say(student: str) -> None:
    print(f"minigpt: grading {sentence(student)}", file=sys.stderr)
