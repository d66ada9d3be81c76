"""The lists of labels: what is asked can be known from the other lines, and nothing else tells it."""

from collections import Counter

import pytest

from minigpt.data import storyworld
from minigpt.data.storyworld import lists
from minigpt.tasks.world.labels import LABELS8, LINES, SIZES, read_labels


@pytest.mark.slow("the other tests of this file, on fewer lines")
def test_the_answer_is_in_the_lines():
    examples = read_labels("", "dev")
    assert len(examples) == SIZES["dev"] and len({(e.lines, e.context) for e in examples}) == len(examples)
    for e in examples:
        assert len(e.lines) == LINES - 1 and len(set(e.options)) == len(e.options) >= 2
        assert any(line.endswith(e.options[e.label]) for line in e.lines)
        assert all(line.endswith(e.options) for line in e.lines)
        assert e.context == e.context.rstrip()


def test_the_whole_list_is_a_document_of_the_world_in_its_split():
    for e in read_labels("", "dev")[:2]:
        text = "\n".join([*e.lines, f"{e.context} {e.options[e.label]}"])
        assert storyworld.derivations(text) == 1 and storyworld.split_of(text) == "dev"


def test_all_labels_of_the_set_may_be_options():
    for e, whole in zip(read_labels("", "dev"), LABELS8.read("", "dev"), strict=True):
        assert len(whole.options) == 8 and set(e.options) < set(whole.options)
        assert whole.options[whole.label] == e.options[e.label]
        assert (whole.lines, whole.context) == (e.lines, e.context)


def test_the_position_of_the_right_option_tells_nothing_much():
    examples = read_labels("", "dev")
    counts = Counter(e.label for e in examples)
    assert len(counts) == lists.CLASSES
    assert max(counts.values()) < 0.45 * len(examples) and min(counts.values()) > 0.1 * len(examples)
