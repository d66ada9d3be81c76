"""`minigpt scaling`: a family in a folder, its results for people and programs, and one sentence for mistakes."""

import json
import sys

import pytest

from minigpt.cli import main
from minigpt.lab.scaling import family, results

from .conftest import json_of


@pytest.fixture
def small(monkeypatch):
    changed = {"_TOKENIZER": "bpe:300", "EVALUATIONS": 4, "WARMUP": 5}
    for name, value in changed.items():
        monkeypatch.setattr(family, name, value)
    monkeypatch.setattr(results, "_DRAWS", 3)


@pytest.mark.slow("tests/lab/scaling: families, fits and figures; test_mistakes: the command's arguments")
def test_a_text_of_ones_own_with_a_fitted_floor(small, tmp_path, text_file, capsys):
    out = tmp_path / "family"
    arguments = ("--sizes", "1x8", "1x12", "1x16", "1x24", "--data", text_file, "--tokens", "2k", "--context", "32")
    arguments += ("--out", out)
    values = json_of(capsys, "scaling", *arguments, "--json")
    assert values["floor"] is None and values["shots"] == {}
    assert values["predictions"]["joint"]["run"] == "1x24-seed-0"
    assert json.loads((out / "results.json").read_text())["fits"] == values["fits"]
    assert (out / "scaling.png").stat().st_size > 20_000
    assert main(["scaling", "--resume", str(out)]) == 0  # nothing is trained again
    assert json.loads((out / "results.json").read_text())["fits"] == values["fits"]
    shown = capsys.readouterr().out
    assert "loss - fitted floor" in shown and "1x12-seed-0" in shown


def test_a_missing_package_is_said_before_training(error, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    assert "needs scipy" in error("scaling", "--out", tmp_path / "family")
    assert not (tmp_path / "family").exists()


def test_mistakes(error, tmp_path, text_file):
    assert "'2y48' is not a size: write layers x width, such as 2x48" in error("scaling", "--sizes", "2y48")
    assert "'2x47' is not a size" in error("scaling", "--sizes", "2x47")
    assert "needs at least three --sizes" in error("scaling", "--sizes", "2x48", "2x24")
    assert "is neither a file, nor a folder, nor a known corpus" in error("scaling", "--data", tmp_path / "none.txt")
    assert "it needs --data storyworld" in error("scaling", "--data", text_file, "--shots", "2")
    assert "is not a folder that `minigpt scaling` made" in error("scaling", "--resume", tmp_path)
    assert "--sizes cannot be given with it" in error("scaling", "--resume", tmp_path, "--sizes", "2x24")
    assert "is not a number of tokens" in error("scaling", "--tokens", "few")
    assert "exists already, and nothing is ever overwritten" in error("scaling", "--out", tmp_path)
    assert "the text is too short" in error("scaling", "--data", text_file, "--out", tmp_path / "family")
    assert not (tmp_path / "family").exists()
