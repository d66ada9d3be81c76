"""The comparison of a pretrained model with the same from scratch: what it makes, keeps and says."""

import json

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.lab.benchmark import transfer
from minigpt.tasks import TASKS

from .finetuned import pretrain, write_rte


@pytest.fixture
def rte(tmp_path, monkeypatch):
    folder = write_rte(tmp_path / "RTE")
    monkeypatch.setattr(transfer, "task_folder", lambda task, data=None: folder)
    return folder


def write_run(out, name, predictions, references):
    """A run that predicted this on test."""
    (out / name).mkdir(parents=True)
    accuracy = float(np.mean(np.array(predictions) == references))
    result = {"test": {"accuracy": accuracy, "accuracy_baseline": 0.5}}
    (out / name / "result.json").write_text(json.dumps(result))
    (out / name / "predictions.json").write_text(json.dumps(predictions))


def test_both_arms_are_run_once_and_compared(rte, tmp_path, capsys):
    run, out = pretrain("gpt", tmp_path), tmp_path / "out"
    capsys.readouterr()
    command = [str(run), "--tasks", "rte", "--examples", "12,24", "--steps", "1", "--out", str(out)]
    command += ["--set", "train.batch=12", "--table", str(tmp_path / "t.md"), "--figure", str(tmp_path / "t.png")]
    assert transfer.main(command) == 0
    said = capsys.readouterr().out
    assert said == (tmp_path / "t.md").read_text()
    assert all(f"| `rte` | {count} | accuracy | 50.0 | " in said for count in (12, 24))
    assert (tmp_path / "t.png").read_bytes()[:4] == b"\x89PNG"
    made = [f"rte-{count}-{arm}-0" for count in (12, 24) for arm in transfer.ARMS]
    assert sorted(path.name for path in out.iterdir()) == made
    assert {json.loads((out / name / "result.json").read_text())["best_step"] for name in made} == {1}  # the last
    times = {path: path.stat().st_mtime_ns for path in out.rglob("result.json")}
    (out / "rte-24-scratch-0" / "result.json").unlink()  # as if it had been stopped
    assert transfer.main([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["examples"] for row in rows] == [12, 24]
    row = rows[1]
    assert row["gain"] == pytest.approx(row["pretrained"][0] - row["scratch"][0])
    again = {path for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert again == {out / "rte-24-scratch-0" / "result.json"}  # what was there was not made again


def test_the_gain_is_paired_by_example_and_its_interval_knows_of_the_seeds(rte, tmp_path):
    references = [example.label for example in TASKS["rte"].read(rte, "test")]
    wrong = [1 - label for label in references]
    half = references[:10] + wrong[10:]
    for seed, (a, b) in enumerate(((references, half), (references, wrong))):
        write_run(tmp_path, f"rte-300-pretrained-{seed}", a, references)
        write_run(tmp_path, f"rte-300-scratch-{seed}", b, references)
    found = transfer.compare(tmp_path, "rte", 2, 300)
    assert (found.pretrained, found.scratch) == ([1.0, 1.0], [0.5, 0.0])
    assert found.gain == pytest.approx(0.75)
    assert found.low < 0.55 and found.high == 1.0  # both of the better seed, both of the worse; else about 0.64 to 0.86
    assert transfer.compare(tmp_path, "rte", 3, 300) is None  # not all seeds are there
    table = transfer.table([found])
    assert "| 25.0 ± 35.4 | 100.0 ± 0.0 | +75.0 [" in table
    # Of the gains 50 and 100: 75 ± 12.706 · 35.355 / √2, by hand.
    assert table.endswith("| [-242.6, +392.6] |")
    assert transfer.table([found._replace(pretrained=[1.0], scratch=[0.5])]).endswith("| – |")


def test_a_task_without_examples_to_learn_from_is_refused(tmp_path):
    with pytest.raises(UserError, match="'winograd' is no task of the story world with examples to learn from"):
        transfer.main([str(tmp_path), "--tasks", "winograd"])
