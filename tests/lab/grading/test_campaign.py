"""Twenty answers and more of each kind, over five notebooks, get what they deserve whatever the seed."""

import json
from itertools import pairwise

import pytest

from minigpt.lab.check.sandbox import Limits
from minigpt.lab.exercises import find_exercise
from minigpt.lab.grading.grade import Rules, grade, is_protected
from minigpt.lab.grading.release import notebooks_folder, read_notebook, released
from minigpt.lab.grading.submissions import read_submissions
from minigpt.lab.grading.verdict import judge

from . import handed_in
from .handed_in import MALICE, NOTEBOOKS, STYLES, malicious, notebook, styled

SEEDS = ((7, 0), (987654321987654321, 5))
SHORT = Limits(cpu=3, wall=15.0, memory=2**30)  # of what ends by nothing else
PATIENT = Limits(cpu=60, wall=600.0, memory=2**30)  # of what ends by itself, on a slow and busy machine too


def verdicts(name, source, limits=PATIENT):
    return [judge(name, find_exercise(name), notebook(source, name), seed, limits) for seed in SEEDS]


@pytest.mark.slow("test_grading: some of each kind")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_right_and_wrong_answers_to_a_notebook(name):
    for exercise, right, wrong in handed_in.stored(name):
        assert all(v.passed and v.share == 1.0 and not v.mistake for v in verdicts(exercise, right)), exercise
        for source in wrong:
            found = verdicts(exercise, source)
            assert not any(v.passed for v in found), source
            assert len({v.mistake for v in found}) == 1 and found[0].mistake, (source, found)


@pytest.mark.slow("test_grading: some of each kind")
@pytest.mark.parametrize("style", STYLES)
def test_right_answers_in_many_styles(style):
    exercise, source = styled(style)
    assert all(v.passed for v in verdicts(exercise, source)), verdicts(exercise, source)


@pytest.mark.slow("test_grading: some of each kind")
@pytest.mark.needs(is_protected(), "bubblewrap, or Landlock and seccomp")
@pytest.mark.parametrize("attack", MALICE)
def test_malice_costs_its_author_the_point(attack):
    endless = attack in ("an endless loop", "sleep")
    found = verdicts("05-attention/1", malicious(attack), SHORT if endless else PATIENT)
    assert not any(v.passed for v in found)
    assert len({v.mistake for v in found}) == 1 and found[0].mistake and found[0].share == 0.0, found
    assert (found[0].mistake == "too much time") == endless
    if attack == "an answer of gigabytes":  # its size decides, not how fast this machine copies
        assert found[0].mistake == "raises MemoryError"
    exercise, source = styled("einsum")
    assert judge(exercise, find_exercise(exercise), notebook(source, exercise), SEEDS[0], PATIENT).passed


@pytest.mark.slow("test_grading: a class of one exercise")
def test_released_notebooks_that_were_answered_are_right(tmp_path):
    """And as they were given out, nothing in them is answered."""
    for name in NOTEBOOKS:
        given = released(read_notebook(notebooks_folder() / f"{name}.ipynb"))
        (tmp_path / "nobody").mkdir(exist_ok=True)
        (tmp_path / "nobody" / f"{name}.ipynb").write_text(json.dumps(given), encoding="utf-8")
        answers = {exercise.replace("/", "-"): right for exercise, right, _ in handed_in.stored(name)}
        cells = given["cells"]
        for cell, check in pairwise(cells):
            mark = cell["metadata"].get("nbgrader", {})
            if mark.get("solution"):
                above, _, line = answers[mark["grade_id"]].rpartition("check_exercise(")
                target = "".join(check["source"]).split(", ")[1]
                cell["source"] = [f"{above}\n{target} = {line.partition(', ')[2].strip()[:-1]}\n"]
        (tmp_path / "ann").mkdir(exist_ok=True)
        (tmp_path / "ann" / f"{name}.ipynb").write_text(json.dumps(given), encoding="utf-8")
    rows = grade(read_submissions(tmp_path), Rules())
    assert {(row.student, row.outcome.passed, row.outcome.mistake) for row in rows} == {
        ("ann", True, ""),
        ("nobody", False, "not answered"),
    }, [row for row in rows if row.student == "ann" and not row.outcome.passed]
    assert len(rows) == 2 * 22
