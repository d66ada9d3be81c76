"""Notebooks as students get them: no outputs, no answers, no hints but on request, and nbgrader's metadata.

An exercise's cell becomes two: one to be written in (`solution`), one with the check (`grade`), which is locked and has
the points. The metadata are nbgrader's, schema version 3, and the answer stands between its marks, so that a course
that uses nbgrader can take the notebooks as its source. What a notebook has of them already (other points, say) stays.
"""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import minigpt
from minigpt.core.errors import UserError
from minigpt.core.files import read_text, write_atomically
from minigpt.lab.exercises.texts import POINTS

Cell = dict[str, Any]
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
_CHECK = re.compile(r"""^check_exercise\(\s*["']([\w-]+/\d+)["'],\s*(\w+)[^\n]*\)\s*$""", re.M)
_HINTS = """from minigpt.lab.testing import hint

# hint("{name}/1") gives a nudge; asked again, it says more.
# An answer that counts uses NumPy and Python's own library, and nothing of minigpt."""


def notebooks_folder() -> Path:
    """The project's notebooks, beside the package or in the folder that one works in.

    Raises:
        UserError: they are in neither place.
    """
    for folder in (Path(minigpt.__file__).resolve().parents[1], Path.cwd()):
        if (folder / "notebooks" / "00-start-here.ipynb").exists():
            return folder / "notebooks"
    raise UserError("the notebooks are not here: name their folder with --notebooks, or work in a copy of the project")


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook as it is stored.

    Raises:
        UserError: it is none.
    """
    try:
        notebook = json.loads(read_text(path))
        if not isinstance(notebook["cells"], list):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path} is no notebook") from None
    return notebook


def release(source: Path, folder: Path, names: Collection[str] = (), *, force: bool = False) -> list[str]:
    """Write the notebooks of a folder, or those of these names, as students get them; the files' names.

    Raises:
        UserError: there is none of a name, or a file exists that is not to be replaced.
    """
    paths = sorted(source.glob("*.ipynb"))
    known = [path.stem for path in paths]
    if missing := [name for name in names if name not in known]:
        raise UserError(f"there is no notebook {missing[0]} in {source}")
    chosen = [path for path in paths if not names or path.stem in names]
    if not chosen:
        raise UserError(f"there are no notebooks in {source}")
    there = [path.name for path in chosen if (folder / path.name).exists()]
    if there and not force:
        raise UserError(f"{folder / there[0]} exists; replace it with --force")
    texts = {path.name: released(read_notebook(path)) for path in chosen}
    folder.mkdir(parents=True, exist_ok=True)
    for name, notebook in texts.items():
        write_atomically(folder / name, json.dumps(notebook, ensure_ascii=False, indent=1) + "\n")
    return list(texts)


def released(notebook: Mapping[str, Any], points: Mapping[str, float] = POINTS) -> dict[str, Any]:
    """A notebook as students get it."""
    result = {**copy.deepcopy(dict(notebook)), "cells": []}
    for cell in notebook["cells"]:
        cell, text = _cleared(cell), "".join(cell["source"])
        found = _CHECK.search(text) if cell["cell_type"] == "code" else None
        mark = cell["metadata"].get("nbgrader", {})
        if text.startswith("## Exercises") and not _has_hints(notebook):
            result["cells"].append(_hint_cell(cell, notebook))
        if found and found[1] in POINTS:
            result["cells"] += _exercise(cell, text, found, points)
        elif mark.get("solution"):
            result["cells"].append(_with_text(cell, _emptied(text)))
        else:
            result["cells"].append(cell)
    return result


def _cleared(cell: Cell) -> Cell:
    """Without outputs, and of its metadata with nbgrader's alone."""
    kept = {key: copy.deepcopy(value) for key, value in cell.items() if key != "attachments" or value}
    kept["metadata"] = {key: value for key, value in kept["metadata"].items() if key == "nbgrader"}
    if cell["cell_type"] == "code":
        kept |= {"outputs": [], "execution_count": None}
    return kept


def _with_text(cell: Cell, text: str) -> Cell:
    return {**cell, "source": text.splitlines(keepends=True)}


def _has_hints(notebook: Mapping[str, Any]) -> bool:
    return any("import hint" in "".join(cell["source"]) for cell in notebook["cells"])


def _hint_cell(before: Cell, notebook: Mapping[str, Any]) -> Cell:
    texts = ["".join(cell["source"]) for cell in notebook["cells"]]
    first = next((found[1] for text in texts if (found := _CHECK.search(text))), "00-start-here/1")
    cell = {
        "cell_type": "code",
        "execution_count": None,
        "id": f"{before.get('id', 'exercises')}-hints",
        "metadata": {},
        "outputs": [],
    }
    return _with_text(cell, _HINTS.format(name=first.partition("/")[0]))


def _exercise(cell: Cell, text: str, found: re.Match[str], points: Mapping[str, float]) -> list[Cell]:
    """The cell of an answer, if this cell has it, and that of the check."""
    name, mark = found[1], cell["metadata"].get("nbgrader", {})
    own = name.replace("/", "-")
    told = {"schema_version": 3, "grade": True, "grade_id": f"{own}-check", "locked": True, "solution": False}
    told |= {"task": False, "points": points[name]}
    if mark.get("grade"):
        told |= {key: mark[key] for key in ("grade_id", "points") if key in mark}
    check = _with_text(cell, f'check_exercise("{name}", {found[2]}, graded=True)')
    check["metadata"] = {"nbgrader": told}
    above = text[: found.start()].rstrip()
    if not above or mark.get("grade"):
        return [check]
    check["id"] = f"{cell.get('id', own)}-check"
    write = _with_text(cell, _emptied(above))
    solution = {"schema_version": 3, "grade": False, "grade_id": own, "locked": False, "solution": True, "task": False}
    write["metadata"] = {"nbgrader": solution}
    return [write, check]


def _emptied(text: str) -> str:
    """What an answer begins with: a signature and its docstring, or a name; of what else stands there nothing is left.

    Raises:
        UserError: it is no Python.
    """
    try:
        body = ast.parse(text).body
    except SyntaxError as error:
        raise UserError(f"the cell of an exercise is no Python: {error.msg} (line {error.lineno})") from None
    lines = text.split("\n")
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    if functions:
        last = functions[-1]
        documented = ast.get_docstring(last) is not None
        end = last.body[0].end_lineno if documented else last.body[0].lineno - 1
        signature = lines[last.lineno - 1 : end]
        if signature and signature[-1].strip() == BEGIN:
            signature.pop()
        return "\n".join([*signature, f"    {BEGIN}", "    ...", f"    {END}"])
    assigned = [node for node in body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    if not assigned:
        raise UserError("the cell of an exercise has neither a function nor an answer in it")
    last_line = lines[assigned[-1].lineno - 1]
    empty = isinstance(assigned[-1].value, ast.Constant) and assigned[-1].value.value is ...
    line = last_line if empty else f"{assigned[-1].targets[0].id} = ..."
    return "\n".join([BEGIN, line, END])
