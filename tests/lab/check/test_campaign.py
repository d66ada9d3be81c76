"""A part of the campaign (campaign.py): planted mistakes are found, placed and named, right operations left alone."""

import pytest

from .campaign import false_alarms, run
from .mutants import SOURCES, all_mutants


@pytest.mark.slow("test_a_wrong_pair_in_a_process_of_its_own: the same of one mistake")
def test_forty_planted_mistakes():
    outcomes = run(40, 3)
    assert sum(o.found for o in outcomes) >= 39 and sum(o.placed for o in outcomes) >= 38
    assert sum(o.named for o in outcomes) >= 32


@pytest.mark.slow("test_a_wrong_pair_in_a_process_of_its_own: the same of one operation")
def test_no_right_operation_is_called_wrong():
    judged, alarms = false_alarms()
    assert judged >= 60 and alarms == []


def test_a_mutant_counts_only_if_it_gives_other_gradients():
    mutants = list(all_mutants("closures", "softmax"))
    assert len(mutants) > 10 and all(m.roles == {"x"} for m in mutants)
    assert all(m.source != SOURCES["closures"] for m in mutants)
