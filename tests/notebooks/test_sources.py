"""Notebooks as they are stored: with their outputs, with the parts that each of them has, with exercises that exist."""

import ast
import re
import sys

import pytest

from minigpt.lab.exercises import exercise_names
from tools.notebooks.executing import MOST_TOGETHER, faults, output_size

from .sources import NOTEBOOKS, read, source, texts

notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def exercises_of(path):
    return [name for text in texts(read(path), "code") for name in re.findall(r'check_exercise\(\s*"([^"]+)"', text)]


@notebooks
def test_it_is_stored_with_its_outputs_and_for_any_python(path):
    notebook = read(path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}
    assert faults(notebook) == []
    assert path.read_text(encoding="utf-8").endswith("}\n")


def test_outputs_are_small():
    assert sum(output_size(read(path)) for path in NOTEBOOKS) <= MOST_TOGETHER


@notebooks
def test_it_has_a_goal_a_derivation_and_exercises(path):
    prose = texts(read(path), "markdown")
    number = int(path.stem[:2])
    assert re.match(rf"# {number}\. \S", prose[0]) and "**Goal.**" in prose[0]
    assert any("$$" in text for text in prose), "no derivation"
    assert any(text.startswith("## Exercises") for text in prose)
    assert 3 <= len(exercises_of(path)) <= 5


@notebooks
def test_it_says_what_comes_before_it_and_how_long_it_takes(path):
    """The same as the table for teachers says."""
    table = (path.parents[1] / "docs" / "teaching.md").read_text(encoding="utf-8")
    before, minutes, exercises = re.search(rf"^\| {path.stem} \| (.*?) \| (\d+) \| (\d+) \|$", table, re.M).groups()
    before = {"–": "nothing"}.get(before, before)
    first = texts(read(path), "markdown")[0]
    assert re.search(rf"\*\*Before it:\*\* (notebooks? )?{re.escape(before)}\. ", first)
    assert f"**Time:** {minutes} minutes to read, {exercises} for the exercises." in first
    assert "If you teach: [docs/teaching.md](../docs/teaching.md)" in first


@notebooks
def test_it_ends_with_its_equations_and_its_exercises(path):
    """The summary has equations and comes right before the exercises."""
    prose = texts(read(path), "markdown")
    at = next(number for number, text in enumerate(prose) if text.startswith("## Exercises"))
    summary = next(text for text in prose[:at][::-1] if text.startswith("## Summary"))
    assert prose.index(summary) >= at - 2 and 3 <= summary.count("\\\\\n") + 1 <= 6


@notebooks
def test_its_code_asks_for_nothing_that_is_not_there_for_everybody(path):
    """Code parses as it stands (no shell lines, no magics), and imports only what requirements.txt installs."""
    allowed = {"minigpt", "numpy", "matplotlib", "regex", "tqdm", "safetensors", "threadpoolctl", "IPython"}
    for text in texts(read(path), "code"):
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in allowed | sys.stdlib_module_names, f"{path.name} imports {name}"


@notebooks
def test_exercises_are_numbered_in_order(path):
    found = exercises_of(path)
    assert found == [f"{path.stem}/{k}" for k in range(1, len(found) + 1)]


def test_notebooks_and_checks_have_the_same_exercises():
    assert sorted(name for path in NOTEBOOKS for name in exercises_of(path)) == exercise_names()


@notebooks
def test_links_to_other_notebooks_lead_somewhere(path):
    for text in texts(read(path), "markdown"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_a_cell_s_source_is_a_list_of_lines():
    """One line of text is one line of the file, so that a change can be read."""
    for path in NOTEBOOKS:
        for cell in read(path)["cells"]:
            assert isinstance(cell["source"], list) and cell["source"] == source(cell).splitlines(keepends=True)
