"""`minigpt data tasks`: files on the disk, one sentence for what cannot be."""

import pytest

from minigpt.cli import main
from minigpt.tasks import TASKS

from .conftest import json_of

SMALL = ("--train", "60", "--dev", "5", "--test", "10")


def test_tasks_are_written_and_can_be_read(tmp_path, capsys):
    values = json_of(capsys, "data", "tasks", "--task", "rte", "winograd", "--out", tmp_path / "t", *SMALL, "--json")
    assert list(values["tasks"]) == ["rte", "winograd"]
    folder = values["tasks"]["rte"]["folder"]
    assert [len(TASKS["rte"].read(folder, part)) for part in ("train", "dev", "test")] == [60, 5, 10]
    assert values["tasks"]["rte"] == {"folder": str(tmp_path / "t" / "rte")}


def test_counted_words_stand_beside_chance(tmp_path, capsys):
    arguments = ["data", "tasks", "--task", "race", "squad", "--out", str(tmp_path / "t"), *SMALL, "--count-words"]
    assert main(arguments) == 0
    race, squad = capsys.readouterr().out.splitlines()
    assert "chance 25.0%" in race and "overlap" in race and "%" not in squad


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--task", "rtee"], "the story world has no task 'rtee'; it has story-cloze"),
        (["--task", "rte", "--train", "0"], "0 is below 1"),
        (["--task", "rte", "--out", "there"], "there/rte exists already"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, sentence, tmp_path, error):
    (tmp_path / "there" / "rte").mkdir(parents=True)
    assert sentence in error("data", "tasks", *arguments)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["rte", "there"]
