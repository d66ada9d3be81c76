"""Released notebooks hold no answers and no outputs, ask for hints, and have nbgrader's metadata."""

import ast
import json
import re

import pytest

from minigpt.core.errors import UserError
from minigpt.lab.exercises import _ASKED, WrongAnswer, check_exercise, exercise_names, find_exercise, hint
from minigpt.lab.exercises.texts import POINTS, TEXTS
from minigpt.lab.grading.release import notebooks_folder, read_notebook, released

PATHS = sorted(notebooks_folder().glob("*.ipynb"))
KEYS = {"schema_version", "grade", "grade_id", "locked", "solution", "task"}


def marked(notebook, kind):
    return [c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get(kind)]


def text(cell):
    return "".join(cell["source"])


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_released_notebook(path):
    before, after = read_notebook(path), released(read_notebook(path))
    names = [name for name in POINTS if name.startswith(f"{path.stem}/")]
    solutions, checks = marked(after, "solution"), marked(after, "grade")
    assert [c["metadata"]["nbgrader"]["grade_id"] for c in solutions] == [n.replace("/", "-") for n in names]
    assert [c["metadata"]["nbgrader"]["points"] for c in checks] == [POINTS[name] for name in names]
    for name, write, check in zip(names, solutions, checks, strict=True):
        assert set(write["metadata"]["nbgrader"]) == KEYS and set(check["metadata"]["nbgrader"]) == {*KEYS, "points"}
        function = TEXTS[name].function
        if function and name != "06-gpt/4":
            (node,) = ast.parse(text(write)).body
            assert node.name == function and ast.get_docstring(node)
            assert ast.unparse(node.body[-1]) == "..." and len(node.body) == 2
        else:
            assert re.fullmatch(r"### BEGIN SOLUTION\n\w+ = \.\.\.(  # .*)?\n### END SOLUTION", text(write))
        assert re.fullmatch(rf'check_exercise\("{name}", \w+, graded=True\)', text(check))
    ids = [cell["id"] for cell in after["cells"]]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", one) for one in ids)
    lesson = [text(c) for c in before["cells"] if "check_exercise(" not in text(c)]
    assert [t for t in map(text, after["cells"]) if t in lesson] == lesson
    assert "from minigpt.lab.testing import hint" in "".join(map(text, after["cells"]))
    assert released(after) == after


def test_a_notebook_with_answers_outputs_and_points_loses_the_first_two():
    def cell(source, **mark):
        metadata = {"nbgrader": mark} if mark else {"scrolled": True}
        shown = [{"output_type": "stream", "name": "stdout", "text": ["secret\n"]}]
        return {"cell_type": "code", "id": "a", "execution_count": 3, "metadata": metadata, "outputs": shown} | {
            "source": source.splitlines(keepends=True)
        }

    above = 'def secret_helper(): ...\n\ndef softmax_gradient(p,\n                     dp):\n    """To dZ."""\n'
    one = cell(above + '    return secret\n\n\ncheck_exercise("05-attention/1", softmax_gradient)')
    value = cell('answer = 1_342_177_280  # secret\n\ncheck_exercise("08-sampling/5", answer)')
    kept = {"grade": True, "grade_id": "mine", "points": 7, "solution": False, "locked": True, "schema_version": 3}
    check = cell('check_exercise("05-attention/2", banded_mask)', **kept)
    mine = cell("def banded_mask(t, s, w, n):\n    return secret", solution=True, grade=False, grade_id="my-cell")
    after = released({"cells": [one, value, mine, check], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    assert "secret" not in json.dumps(after) and "1_342" not in json.dumps(after)
    assert [c["metadata"]["nbgrader"]["grade_id"] for c in after["cells"]][-2:] == ["my-cell", "mine"]
    assert after["cells"][-1]["metadata"]["nbgrader"]["points"] == 7
    assert text(after["cells"][0]).startswith("def softmax_gradient(p,\n                     dp):")
    assert all(c["outputs"] == [] and c["execution_count"] is None for c in after["cells"])


def test_what_is_no_notebook_is_said(tmp_path):
    (tmp_path / "a.ipynb").write_text("[" * 10**5, encoding="utf-8")
    with pytest.raises(UserError, match="is no notebook"):
        read_notebook(tmp_path / "a.ipynb")


def test_every_exercise_has_a_text_and_the_function_that_its_notebook_asks_for():
    assert list(TEXTS) == exercise_names()
    assert len({text.title for text in TEXTS.values()}) > 70
    for name, told in TEXTS.items():
        assert told.nudge and told.nudge != find_exercise(name).hint


def test_hints_come_one_after_the_other(capsys, monkeypatch):
    monkeypatch.setitem(_ASKED, "05-attention/4", 0)
    for expected in (TEXTS["05-attention/4"].nudge, find_exercise("05-attention/4").hint):
        hint("05-attention/4")
        assert " ".join(capsys.readouterr().out.split()).startswith(" ".join(expected.split()))
    with pytest.raises(UserError, match="there is no exercise"):
        hint("05-attention/9")


def test_a_graded_check_gives_no_hint_and_wants_an_answer():
    for answer in (..., 3):
        with pytest.raises(WrongAnswer, match=r'hint\("08-sampling/5"\) gives a hint') as error:
            check_exercise("08-sampling/5", answer, graded=True)
        assert find_exercise("08-sampling/5").hint not in str(error.value)
