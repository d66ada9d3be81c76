"""The table of tasks is consistent with itself."""

import pytest

from minigpt.tasks import TASKS, Classification, Similarity


@pytest.mark.parametrize("name", TASKS)
def test_a_task_says_what_it_is(name):
    task = TASKS[name]
    assert task.name == name and task.about.endswith("?") and task.metrics
    assert bool(task.labels) == (task.kind is Classification)
    assert len(set(task.labels)) == len(task.labels)


def test_symmetric_tasks_compare_two_texts():
    symmetric = {name for name, task in TASKS.items() if task.symmetric}
    assert symmetric == {"mrpc", "qqp", "stsb"}
    assert all("pair" in TASKS[name].kind._fields for name in symmetric)
    assert TASKS["stsb"].kind is Similarity
