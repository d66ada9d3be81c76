"""`minigpt data tasks`: files on the disk, one sentence for what cannot be."""

import pytest

from minigpt.tasks import TASKS

from .conftest import json_of

SMALL = ("--train", "60", "--dev", "5", "--test", "10")


def test_tasks_are_written_and_can_be_read(tmp_path, capsys):
    values = json_of(capsys, "data", "tasks", "--task", "rte", "winograd", "--out", tmp_path / "t", *SMALL, "--json")
    assert list(values["tasks"]) == ["rte", "winograd"]
    folder = values["tasks"]["rte"]["folder"]
    assert [len(TASKS["rte"].read(folder, part)) for part in ("train", "dev", "test")] == [60, 5, 10]
    assert values["tasks"]["rte"] == {"folder": str(tmp_path / "t" / "rte")}


@pytest.mark.slow("tasks/test_baselines.py: each of them")
def test_baselines_stand_beside_chance(tmp_path, capsys):
    names = ["race", "squad", "winograd"]
    values = json_of(
        capsys, "data", "tasks", "--task", *names, "--out", tmp_path / "t", *SMALL, "--baselines", "--json"
    )
    race, squad, winograd = (values["tasks"][name]["baselines"] for name in names)
    assert race["chance"] == 0.25 and set(race) == {"chance", "words", "alone", "overlap"}
    assert set(squad) == {"most frequent answer (token-f1)", "most frequent answer (exact-match)"}
    assert winograd == {"chance": 0.5}


def test_a_missing_package_is_said_before_anything_is_written(tmp_path, error, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("minigpt.lab.baselines.import_module", missing)
    assert "needs scikit-learn" in error("data", "tasks", "--task", "rte", "--out", tmp_path / "t", "--baselines")
    assert not (tmp_path / "t").exists()


@pytest.mark.slow("tasks/test_baselines.py: what counting refuses")
def test_words_cannot_be_counted_of_one_class(tmp_path, error):
    arguments = ["data", "tasks", "--task", "sst2", "--out", tmp_path / "t", "--train", "1", "--baselines"]
    assert "needs training examples of two classes; all 1 are of one" in error(*arguments, "--dev", "1", "--test", "1")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--task", "rtee"], "the story world has no task 'rtee'; it has story-cloze"),
        (["--task", "rte", "--train", "0"], "0 is below 1"),
        (["--task", "rte", "--out", "there"], "there/rte exists already"),
        (["--task", "rte", "--out", ""], "--out is empty"),
        (["--task", "rte", "--out", "file"], "--out file is a file"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, sentence, tmp_path, error):
    (tmp_path / "there" / "rte").mkdir(parents=True)
    (tmp_path / "file").touch()
    assert sentence in error("data", "tasks", *arguments)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "rte", "there"]
