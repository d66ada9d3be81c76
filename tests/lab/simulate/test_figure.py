"""The timeline shows what was played."""

import pytest
from matplotlib.figure import Figure

from minigpt.lab.simulate.collectives import Group, Link
from minigpt.lab.simulate.figure import draw_timeline
from minigpt.lab.simulate.step import Job, Layer, play

LINK = Link(1e-5, 1e9)


def test_bars_are_as_long_as_the_tasks():
    played = play(Job(((Layer(0.1, 0.2, 1e8),),) * 2, 3, Group(1, 2, LINK, LINK), 2, update=0.05))
    axes = Figure().subplots()
    draw_timeline(axes, played)
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "stage 1: arithmetic",
        "stage 1: network",
        "stage 2: arithmetic",
        "stage 2: network",
    ]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "forward", "backward", "update", "reduce", "gather"
    ]  # fmt: skip
    drawn = sum(path.get_extents().width for bars in axes.collections for path in bars.get_paths())
    assert drawn == pytest.approx(1e3 * sum(task.seconds for task in played.tasks if task.kind != "send"))


def test_of_many_stages_some_are_shown():
    played = play(Job(((Layer(1.0, 2.0, 1e6),),) * 40, 2, Group(1, 2, LINK, LINK), 40))
    axes = Figure().subplots()
    draw_timeline(axes, played, legend=False)
    assert len(axes.get_yticks()) == 14 and axes.get_legend() is None
