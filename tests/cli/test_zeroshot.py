"""`minigpt zeroshot` and `minigpt fewshot` as they are typed: what they print, draw and refuse."""

import json

import pytest

from minigpt.cli import main

from ..train.runs import train
from .conftest import json_of

BYTES = {"data__tokenizer": "byte", "model__context": 90}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run with checkpoints at the powers of two, and another with few."""
    folder = tmp_path_factory.mktemp("runs")
    text = folder / "text.txt"
    text.write_text("".join(f"{i} plus {i} is very positive.\n" for i in range(200)))
    patch = pytest.MonkeyPatch()
    patch.setenv("MINIGPT_CACHE", str(folder / "cache"))
    assert train(text, folder / "powers", 5, train__checkpoint_powers="true", train__keep_checkpoints=1, **BYTES) == 0
    assert train(text, folder / "plain", 5, train__keep_checkpoints=1, **BYTES) == 0
    patch.undo()
    return folder


@pytest.fixture
def data(tmp_path):
    """Folders of tasks in the originals' formats."""
    rows = {"train": 8, "dev": 6}
    (tmp_path / "SST-2").mkdir()
    (tmp_path / "RTE").mkdir()
    for part, count in rows.items():
        sst2 = [f"film {i} is good\t1" if i % 2 else f"film {i} is bad\t0" for i in range(count)]
        (tmp_path / "SST-2" / f"{part}.tsv").write_text("\n".join(["sentence\tlabel", *sst2]) + "\n")
        names = ("entailment", "not_entailment")
        rte = [f"{i}\tIt is {i}.\tIt is {i + i % 2}.\t{names[i % 2]}" for i in range(count)]
        (tmp_path / "RTE" / f"{part}.tsv").write_text("\n".join(["index\tsentence1\tsentence2\tlabel", *rte]) + "\n")
    return tmp_path


def test_one_task(runs, data, capsys):
    arguments = ["zeroshot", runs / "plain", "--task", "sst2", "--data", data]
    values = json_of(capsys, *arguments, "--json")["tasks"]["sst2"]
    assert values["count"] == 6 and values["chance"] == 0.5 and values["baseline"] == {"majority": 0.5}
    found = values["scores"]["accuracy"]
    assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
    assert values["skill"] == pytest.approx(2 * found["value"] - 1)
    assert main([str(a) for a in arguments]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"sst2: accuracy {found['value']:.3f}") and "on 6 examples; chance 0.500" in shown
    limited = json_of(capsys, *arguments, "--limit", 3, "--rule", "character", "--split", "train", "--json")
    assert limited["tasks"]["sst2"]["count"] == 3 and "per character" in limited["tasks"]["sst2"]["how"]


def test_all_takes_the_tasks_whose_files_are_there(runs, data, capsys):
    assert main(["zeroshot", str(runs / "plain"), "--task", "all", "--data", str(data), "--json"]) == 0
    shown = capsys.readouterr()
    assert set(json.loads(shown.out)["tasks"]) == {"sst2", "rte"}
    assert "without cola: " in shown.err and "without sst2" not in shown.err


@pytest.mark.slow("test_one_task: the same of one checkpoint")
def test_skill_over_the_checkpoints(runs, data, capsys, tmp_path):
    arguments = ["zeroshot", runs / "powers", "--task", "sst2", "--task", "rte", "--data", data, "--checkpoints"]
    values = json_of(capsys, *arguments, "--json", "--out", tmp_path / "skill.png")
    assert (tmp_path / "skill.png").read_bytes().startswith(b"\x89PNG")
    assert values["curves"]["sst2"]["steps"] == values["curves"]["rte"]["steps"] == [0, 1, 2, 4, 5]
    curve = values["curves"]["rte"]
    assert curve["skill"] == pytest.approx([2 * score - 1 for score in curve["scores"]])
    assert main([str(a) for a in arguments]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["step", "sst2", "rte"] and [line.split()[0] for line in shown[1:6]] == list("01245")
    assert "sst2: accuracy, chance 0.500, best 1" in shown[6]
    assert shown[7] == str(runs / "powers" / "zeroshot.png") and (runs / "powers" / "zeroshot.png").exists()
    last = json_of(capsys, "zeroshot", runs / "powers", "--task", "rte", "--data", data, "--json")
    assert last["tasks"]["rte"]["scores"]["accuracy"]["value"] == curve["scores"][-1]


def test_shots(runs, data, capsys, tmp_path):
    arguments = ["fewshot", runs / "plain", "--task", "sst2", "--data", data]
    other = ["--beside", runs / "powers", "--out", tmp_path / "shots.png"]
    values = json_of(capsys, *arguments, "--shots", 2, 0, 1, *other, "--json")
    assert values["task"] == "sst2" and set(values["runs"]) == {"plain", "powers"}
    assert [s["shots"] for s in values["runs"]["plain"]] == [0, 1, 2]
    assert values["runs"]["plain"] == values["runs"]["powers"]  # the same training, and the same examples
    assert (tmp_path / "shots.png").read_bytes().startswith(b"\x89PNG")
    zero = json_of(capsys, "zeroshot", runs / "plain", "--task", "sst2", "--data", data, "--json")
    assert values["runs"]["plain"][0]["value"] == zero["tasks"]["sst2"]["scores"]["accuracy"]["value"]
    assert main([str(a) for a in arguments]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in shown[1:]] == ["shots:", "shot:", "shots:"]
    assert shown[0].startswith("plain: sst2, 6 questions, most probable option")
    assert [line.split()[0] for line in shown[1:]] == ["0", "1", "2"]  # four do not fit a context of 90 bytes


def test_bad_input(runs, data, error, tmp_path):
    run = runs / "plain"
    assert "unknown task 'sst-2': did you mean 'sst2'?" in error("zeroshot", run, "--task", "sst-2", "--data", data)
    assert "unknown task 'label': did you mean 'labels'?" in error("fewshot", run, "--task", "label")
    (tmp_path / "empty").mkdir()
    empty = ["--data", tmp_path / "empty"]
    assert "empty has no dev part" in error("zeroshot", run, "--task", "rte", *empty)
    assert "has no test part" in error("zeroshot", run, "--task", "lambada", *empty)
    assert "unknown task 'stsb'" in error("zeroshot", run, "--task", "stsb", *empty)
    assert "invalid choice: 'mean'" in error("zeroshot", run, "--task", "rte", *empty, "--rule", "mean")
    assert "--out is where --checkpoints draws" in error("zeroshot", run, "--task", "rte", "--out", "x.png")
    named = ["zeroshot", run, "--task", "rte", "--data", data, "--checkpoints"]
    assert "has 1 checkpoint; to see how skill grows, train with --set train.checkpoint_powers=true" in error(*named)
    assert "does not end in .png" in error(*named, "--out", "skill.pdf")
    assert "--force replaces the picture in --out" in error(*named, "--force")
    (tmp_path / "there.png").write_bytes(b"a picture")
    assert "there.png exists; replace it with --force" in error(*named, "--out", "there.png")
    assert "there is no nowhere, neither here nor in runs/" in error("zeroshot", "nowhere", "--task", "rte")
    shots = ["fewshot", run, "--task", "sst2", "--data", data, "--shots"]
    assert "with 4 examples before it a question of sst2 comes to" in error(*shots, 4)
    assert "sst2 has 8 examples to show, not 50" in error(*shots, 50)
    assert "is below 0" in error(*shots, -1)
    assert "there.png exists; replace it with --force" in error(*shots, 1, "--out", "there.png")
    assert "--force replaces the picture in --out" in error(*shots, 1, "--force")
    assert (tmp_path / "there.png").read_bytes() == b"a picture"
    assert main([str(a) for a in (*shots, 1, "--out", tmp_path / "there.png", "--force")]) == 0
    assert (tmp_path / "there.png").read_bytes().startswith(b"\x89PNG")
    assert "no split 'val'; the splits of the lists are train, dev, test" in error(
        "fewshot", run, "--task", "labels", "--split", "val"
    )
    assert "the lists of labels are drawn from the story world" in error("fewshot", run, "--task", "labels", *empty)


def test_a_missing_package_is_said_before_anything_is_asked(runs, data, error, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("minigpt.tasks.metrics.import_module", missing)
    assert "needs the package rouge-score" in error("zeroshot", runs / "plain", "--task", "cnn-dm", "--data", data)


def test_a_model_that_does_not_continue_texts(runs, data, error, capsys):
    small = {"model.layers": 1, "model.width": 16, "model.heads": 2, "model.context": 16, "train.batch": 4}
    small |= {"train.eval_tokens": 50, "schedule.warmup": 1, "objective.documents": "stories"}
    sets = [part for name, value in small.items() for part in ("--set", f"{name}={value}")]
    command = ["train", "bert-tiny", "--data", str(runs / "text.txt"), "--out", str(runs / "bert"), "--steps", "1"]
    assert main([*command, "--tokenizer", "wordpiece:80", *sets]) == 0
    sentence = "a model of the family bert does not continue texts, so it cannot be prompted"
    assert sentence in error("zeroshot", runs / "bert", "--task", "rte", "--data", data)
    assert sentence in error("fewshot", runs / "bert", "--task", "rte", "--data", data, "--shots", 1)
