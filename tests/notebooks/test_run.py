"""Notebooks run from top to bottom in a fresh kernel: no error, no warning, nothing from the network.

All of them were executed when their outputs were stored, and `test_stored` says whether these are still those of the
code. So two are executed here, which the commit chooses; `pytest -m notebooks` executes all.
"""

import pytest

from tools.notebooks import executing

pytestmark = pytest.mark.notebooks

IN_TURN = executing.in_turn()


@pytest.mark.parametrize(
    "path",
    [path if path in IN_TURN else pytest.param(path, marks=pytest.mark.exhaustive) for path in executing.NOTEBOOKS],
    ids=lambda path: path.stem,
)
def test_it_runs_from_top_to_bottom(path, tmp_path, costs):
    done = executing.execute(path, tmp_path)
    costs[path.stem] = done.seconds, done.megabytes
    for cell in executing.code_cells(done.notebook):
        cell["outputs"] = executing.small(cell["outputs"])  # as they would be stored
    assert executing.faults(done.notebook) == []
    assert {"minigpt", "minigpt.lab.testing"} <= set(done.used.functions)


def test_two_are_executed_for_each_commit():
    stored = {path: executing.read(path)["metadata"]["minigpt"]["seconds"] for path in executing.NOTEBOOKS}
    middle = sorted(stored.values())[len(stored) // 2]
    assert len(set(IN_TURN)) == 2 and sum(map(stored.get, IN_TURN)) <= max(stored.values()) + middle
