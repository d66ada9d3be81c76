"""Twenty answers and more of each kind, over five notebooks, get what they deserve whatever the seed."""

import pytest

from minigpt.lab.check.sandbox import Limits
from minigpt.lab.exercises import find_exercise
from minigpt.lab.grading.verdict import judge

from . import handed_in
from .handed_in import MALICE, NOTEBOOKS, STYLES, malicious, notebook, styled

SEEDS = ((7, 0), (987654321987654321, 5))
SHORT = Limits(cpu=3, wall=15.0, memory=2**30)


def verdicts(name, source):
    return [judge(name, find_exercise(name), notebook(source, name), seed, SHORT) for seed in SEEDS]


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
@pytest.mark.parametrize("attack", MALICE)
def test_malice_costs_its_author_the_point(attack):
    found = verdicts("05-attention/1", malicious(attack))
    assert not any(v.passed for v in found)
    assert len({v.mistake for v in found}) == 1 and found[0].mistake and found[0].share == 0.0, found
    exercise, source = styled("einsum")
    assert judge(exercise, find_exercise(exercise), notebook(source, exercise), SEEDS[0], SHORT).passed
