"""What students have handed in: a folder or a file for each, notebooks or Python files; read, never run.

Names of nbgrader's metadata (`grade_id`) and `check_exercise` lines say which exercises a file answers. A file that
cannot be read costs its author's points alone.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from minigpt.core.errors import UserError
from minigpt.lab.check.sandbox import open_plain
from minigpt.lab.exercises.texts import TEXTS

_LARGEST = 32 * 2**20  # bytes of a file: a notebook may hold pictures
_MOST = 500  # files of a student
_CHECK = re.compile(r"""check_exercise\(\s*["']([\w-]+/\d+)["']""")


class Notebook(NamedTuple):
    """The code cells of a file, and nbgrader's grade_id of each; a Python file is one cell."""

    path: Path
    cells: list[str]
    ids: list[str | None]
    answers: frozenset[str]  # the exercises that it answers


class Submission(NamedTuple):
    """A student's files, and sentences about those that cannot be read."""

    student: str
    notebooks: list[Notebook]
    problems: list[str]

    def newest(self, name: str) -> Notebook | None:
        """The file that answers an exercise; of several the one that was changed last."""
        found = [notebook for notebook in self.notebooks if name in notebook.answers]
        return max(found, key=lambda n: (n.path.lstat().st_mtime, str(n.path)), default=None)


def read_submissions(folder: Path) -> list[Submission]:
    """Everything in a folder, by student.

    Raises:
        UserError: the folder cannot be read, or nothing is in it.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder} cannot be read as a folder of submissions: {error.strerror}") from None
    found = [_of_student(entry) for entry in entries if entry.is_dir() or entry.suffix in (".ipynb", ".py")]
    if not found:
        raise UserError(f"{folder} has neither folders of students nor .ipynb or .py files")
    names = [submission.student for submission in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"two submissions have the student's name {twice[0]}")
    return found


def _of_student(entry: Path) -> Submission:
    single = entry.suffix in (".ipynb", ".py") and not entry.is_dir()
    submission = Submission(_text(entry.stem if single else entry.name), [], [])
    for path in [entry] if single else _files(entry):
        try:
            submission.notebooks.append(_read(path))
        except (OSError, ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:
            reason = getattr(error, "strerror", None) or (
                "it is no notebook" if path.suffix == ".ipynb" else "it is no text"
            )
            submission.problems.append(f"{_text(path.name)} cannot be read: {reason}")
    return submission


def _text(name: str) -> str:
    """A file's name as text that can be written down, whatever bytes it has."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _files(folder: Path) -> list[Path]:
    """Notebooks and Python files in a student's folder; links lead nowhere."""
    found: list[Path] = []
    if folder.is_symlink():
        return found
    for place, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name) for name in sorted(names) if name.endswith((".ipynb", ".py"))]
        if len(found) >= _MOST:
            break
    return found[:_MOST]


def _read(path: Path) -> Notebook:
    with open_plain(path, _LARGEST) as file:
        text = file.read().decode("utf-8-sig")
    cells, ids = ([text], [None]) if path.suffix == ".py" else _cells(json.loads(text))
    return Notebook(path, cells, ids, _answers(path, cells, ids))


def _cells(notebook: Any) -> tuple[list[str], list[str | None]]:
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    texts = ["".join(cell["source"]) for cell in code]
    marks = [cell.get("metadata", {}).get("nbgrader") or {} for cell in code]
    return texts, [str(mark.get("grade_id")) if mark.get("solution") else None for mark in marks]


def _answers(path: Path, cells: list[str], ids: list[str | None]) -> frozenset[str]:
    found = {name for text in cells for name in _CHECK.findall(text)}
    found |= {name for name in TEXTS if name.replace("/", "-") in ids}
    if path.suffix == ".py" and not found:
        defined = set(re.findall(r"^def (\w+)", cells[0], re.M))
        number = re.match(r"\d\d", path.name)
        found = {name for name, text in TEXTS.items() if text.function in defined}
        found = {name for name in found if number is None or name.startswith(number[0])}
    return frozenset(found & TEXTS.keys())
