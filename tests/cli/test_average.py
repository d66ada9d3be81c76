"""`minigpt average`: the mean of the last checkpoints is a run like any other."""

import numpy as np
import pytest

import minigpt
from minigpt.cli import main

from ..train.runs import train
from .conftest import json_of


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A run that keeps its checkpoints of steps 3, 6, 9 and 10."""
    folder = tmp_path_factory.mktemp("average")
    text = folder / "text.txt"
    text.write_text("".join(f"{i} plus {i} is {i + i}.\n" for i in range(200)))
    patch = pytest.MonkeyPatch()
    patch.setenv("MINIGPT_CACHE", str(folder / "cache"))
    assert train(text, folder / "run", 10, train__checkpoint_every=3, train__keep_checkpoints=4) == 0
    patch.undo()
    return folder / "run"


@pytest.mark.parametrize("last", [1, 3])
def test_the_weights_are_the_mean(checkpoints, last, tmp_path, capsys):
    out = tmp_path / "mean"
    values = json_of(capsys, "average", checkpoints, "--last", str(last), "--out", out, "--json")
    steps = [6, 9, 10][-last:]
    assert values == {"run": str(out), "steps": steps}
    parts = [minigpt.load(checkpoints / "checkpoints" / f"step-{step}", dtype="float64").params.flat for step in steps]
    averaged = minigpt.load(out, dtype="float64")
    np.testing.assert_allclose(averaged.params.flat, np.mean(parts, axis=0), rtol=1e-7, atol=1e-9)
    if last == 1:
        np.testing.assert_array_equal(averaged.params.flat, parts[0])


def test_the_new_run_samples_evaluates_and_goes_on(checkpoints, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MINIGPT_CACHE", str(checkpoints.parent / "cache"))
    out = tmp_path / "mean"
    assert main(["average", str(checkpoints), "--last", "2", "--out", str(out)]) == 0
    assert "the mean of the checkpoints of steps 9, 10" in capsys.readouterr().out
    losses = [json_of(capsys, "eval", run, "--json")["loss"] for run in (checkpoints, out)]
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], abs=0.5)
    assert main(["sample", str(out), "--tokens", "5"]) == 0
    assert main(["train", "--resume", str(out), "--steps", "12"]) == 0


def test_what_cannot_be_averaged(checkpoints, error, tmp_path):
    assert "has 4 checkpoints, not 5; train with --set train.keep_checkpoints=5" in error("average", checkpoints)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "something").touch()
    assert "is not a run of minigpt" in error("average", checkpoints, "--last", "2", "--out", taken)
    assert not checkpoints.with_name("run-average").exists()
