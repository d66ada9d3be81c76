"""The command line as a newcomer meets it: help, what is printed where, and which run is meant."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from minigpt.cli import main
from minigpt.cli.commands import COMMANDS

from ..train.runs import arguments, unlisted
from .conftest import json_of
from .finetuned import write_swag


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as exit:
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert exit.value.code == 0 and "Example:\n  minigpt " + command in shown


def test_json_is_one_object_and_nothing_else(run, trained, tmp_path, capsys):
    result = json_of(capsys, *arguments(trained[0], tmp_path / "new", 3), "--json")
    assert result.keys() == {"run", "steps", "train_loss", "val_loss", "tokens_per_second"} and result["steps"] == 3
    assert json_of(capsys, "eval", run, "--json").keys() == {"loss", "perplexity", "bits_per_byte", "bytes", "tokens"}
    assert len(json_of(capsys, "sample", run, "--json", "--tokens", "5")["text"]) == 5
    assert json_of(capsys, "plot", run, "--json")["figure"].endswith("curves.png")
    assert "cpu" not in json_of(capsys, "info", "--json") and json_of(capsys, "info", "--json")["cores"] >= 1
    checked = json_of(capsys, "gradcheck", "gpt2-no-bias", "--json")
    assert checked["worst"] <= 1e-7 and {"model", "name", "error"} <= checked["parameters"][0].keys()


@pytest.mark.parametrize("name", ["layernorm", "squared_error", "rope-half-shifted", "Position"])
def test_gradcheck_takes_operations_by_name(name, capsys):
    asked = name.lower().replace("_", "-")
    checked = {row["model"] for row in json_of(capsys, "gradcheck", name, "--json")["parameters"]}
    assert checked and all(case.startswith(asked) for case in checked)


def test_gradcheck_lists_what_it_knows(capsys):
    names = json_of(capsys, "gradcheck", "--json")
    assert {"attention", "layernorm", "cross-entropy"} <= set(names["operations"]) and "gpt2" in names["models"]
    assert main(["gradcheck"]) == 0
    assert ", ".join(names["operations"]) in capsys.readouterr().out


def test_gradcheck_fails_where_a_gradient_is_wrong(monkeypatch, capsys):
    from minigpt import ops

    right = ops.layernorm_backward
    monkeypatch.setattr(ops, "layernorm_backward", lambda *a, **k: 1.001 * right(*a, **k))
    assert main(["gradcheck", "gpt"]) == 1
    shown = capsys.readouterr().out
    assert "WRONG" in shown and "ok" in shown and " 0 wrong" not in shown


def test_the_same_seed_samples_the_same_text(run, capsys):
    texts = [json_of(capsys, "sample", run, "--json", "--seed", seed)["text"] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_sample_prints_the_prompt_and_what_follows(run, capsys):
    text = json_of(capsys, "sample", run, "--prompt", "3 plus ", "--tokens", "9", "--json")["text"]
    assert main(["sample", str(run), "--prompt", "3 plus ", "--tokens", "9"]) == 0
    assert capsys.readouterr().out == f"3 plus {text}\n"


def test_bits_per_byte_counts_bytes_not_tokens(run, tmp_path, capsys):
    path = tmp_path / "t.txt"
    path.write_text("3 plus 4 is 7.\n")
    result = json_of(capsys, "eval", run, "--data", path, "--json")
    assert result["tokens"] == 14 and result["bits_per_byte"] == pytest.approx(result["loss"] / 0.6931471805599453)


def test_runs_are_numbered_and_the_newest_is_the_default(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plain = [a for a in arguments(trained[0], "x", 2) if a not in ("--out", "x")]
    for number in (1, 2):
        assert json_of(capsys, *plain, "--json")["run"] == f"runs/tiny-{number}"
    assert json_of(capsys, "plot", "--json")["run"] == "runs/tiny-2"
    assert json_of(capsys, "plot", "tiny-1", "--json")["run"] == "runs/tiny-1"


def test_a_closed_pipe_ends_quietly(run):
    command = f"'{sys.executable}' -m minigpt sample '{run}' --tokens 3000 | head -c 5; echo :${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout[5:] == ":141\n" and done.stderr == ""


def test_importing_the_package_is_quiet_and_needs_neither_cupy_nor_matplotlib():
    code = "import sys, minigpt, minigpt.cli; print({'cupy', 'matplotlib', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n" and done.stderr == ""


def test_the_newest_run_that_can_do_it_is_taken_and_named(run, tmp_path, monkeypatch, capsys):
    """A classifier does not write, a run without checkpoints is not averaged, one without a log is not plotted."""
    monkeypatch.chdir(tmp_path)
    for place, name in enumerate(("old", "writes", "classifier", "damaged")):
        copy = tmp_path / "runs" / name
        shutil.copytree(run, copy)
        os.utime(copy / "config.toml", (1000 + place, 1000 + place))
    runs = tmp_path / "runs"
    config = (unlisted(runs / "classifier") / "config.toml").read_text()
    config = 'task = "rte"\n' + config[: config.index("[objective]")] + config[config.index("[data]") :]
    (runs / "classifier" / "config.toml").write_text(config)
    os.utime(runs / "classifier" / "config.toml", (1002, 1002))
    (runs / "damaged" / "config.toml").write_text("[")
    for command in (["sample", "--tokens", "3"], ["eval", "--data", tmp_path / "t.txt"], ["average", "--last", "2"]):
        (tmp_path / "t.txt").write_text("3 plus 4 is 7.\n")
        if command[0] == "average":
            shutil.rmtree(runs / "classifier" / "checkpoints" / "step-5")
        assert main([str(word) for word in command]) == 0
        assert "runs/writes: the newest run that can" in capsys.readouterr().err
    assert main(["average", "--last", "9"]) == 2
    assert "can be averaged: it has 9 checkpoints; name another model" in capsys.readouterr().err
    for name in ("classifier", "damaged", "writes", "writes-average"):
        (runs / name / "log.jsonl").unlink(missing_ok=True)
    assert json_of(capsys, "plot", "--json")["run"] == "runs/old"


def test_a_finished_run_says_so_at_once(run, capsys, monkeypatch):
    """Nothing is evaluated again, and nothing changes; --steps goes on."""
    assert main(["train", "--resume", str(run), "--steps", "12"]) == 0
    expected = capsys.readouterr().out
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr("minigpt.train.trainer.Trainer.__init__", None)  # it is not even made
        assert main(["train", "--resume", str(run)]) == 0
        shown = capsys.readouterr()
        assert f"is finished; use --steps to go on, such as: minigpt train --resume {run} --steps 24" in shown.err
        assert shown.out == re.sub(r", [\d,]+ tokens/s", "", expected)
        assert json_of(capsys, "train", "--resume", run, "--json")["steps"] == 12
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    kept = json.loads((run / "checkpoints" / "step-12" / "state.json").read_text())["positions"]["samples.txt"]
    os.truncate(run / "samples.txt", kept)  # killed before it wrote its last sample: it looks again
    assert main(["train", "--resume", str(run)]) == 0
    assert "resuming at step 12" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_no_run_replaces_what_it_is_made_from(error, trained, run, tmp_path):
    text = tmp_path / "new" / "texts"
    shutil.copytree(run, tmp_path / "other")  # average has neither --resume nor --force to advise
    taken = error("average", run, "--last", "2", "--out", tmp_path / "other")
    assert f"{tmp_path / 'other'} exists: choose another --out" in taken
    assert "is what the new run is made from" in error("average", run, "--last", "2", "--out", run)
    swag = write_swag(tmp_path / "swag")
    for out in (run, run.parent):
        assert "is what the new run is made from, or holds it" in error(
            "finetune", run, "--task", "swag", "--data", swag, "--out", out, "--force"
        )
    shutil.copytree(run, text.parent)
    text.write_text("3 plus 4 is 7.\n" * 99)
    made = error("train", "--data", text, "--out", text.parent, "--force", "--steps", "1")
    assert "is what the new run is made from" in made and text.exists()
    assert "is one of the texts to learn from" in error(
        "tokenizer", "train", text, "--out", text, "--force", "--vocab-size", "300"
    )
    assert text.read_text().startswith("3 plus 4")


def test_text_that_the_locale_could_not_read(error):
    good, bad = b"caf\xc3\xa9".decode("ascii", "surrogateescape"), b"caf\xe9".decode("ascii", "surrogateescape")
    assert "--out is good UTF-8, but this locale's encoding is" in error("train", "--out", good)
    assert "--out is not valid UTF-8 text" in error("train", "--out", bad)
