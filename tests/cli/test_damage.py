"""Damaged files, races, odd terminals: what goes wrong around a run must not cost it, nor be believed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minigpt
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.train.run_folder import check_target, next_run

from ..tiers import some
from ..train.runs import arguments, unlisted
from .conftest import json_of


def test_empty_arguments_are_not_taken_for_absent_ones(error):
    assert "is not a run folder" in error("train", "--resume", "")
    for command in (
        ["sample", ""],
        ["eval", "x", "--split="],
        ["zeroshot", "x", "--data=", "--task=rte"],
        ["chat", ""],
        ["check", "x", "--as="],
        ["exercises", "grade", ""],
    ):
        assert "it is empty; see `minigpt" in error(*command)
    assert "--out is empty" in error("train", "--out", "")
    assert "--force replaces the run in --out" in error("train", "--force")
    assert "names the folder that you are in" in error("train", "--out", ".")


def test_odd_names_beside_runs(error, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    check_target(tmp_path / "loop", force=False)  # nothing stands there
    with pytest.raises(UserError, match=r"there is no .*loop"):
        minigpt.load(tmp_path / "loop")
    assert "depends on the text" in error("plan", "tiny", "--set", "data.tokenizer=bpe:²")
    (tmp_path / "runs" / "tiny-²").mkdir(parents=True)
    assert next_run("tiny") == Path("runs/tiny-1")


def test_prompts_are_checked_before_training(error, trained, tmp_path):
    for prompt, sentence in [("é", "is not among"), ("1" * 17, "the prompt has 17 tokens")]:
        assert sentence in error(*arguments(trained[0], tmp_path / "new", 5, sample__prompt=f'"{prompt}"'))
    assert not (tmp_path / "new").exists()


def test_a_vocabulary_larger_than_the_tokenizers_writes_only_what_can_be_decoded(trained, tmp_path):
    assert main(arguments(trained[0], tmp_path / "run", 2, model__vocab_size=300, sample__tokens=200)) == 0


def test_state_files_are_not_believed_blindly(error, run, tmp_path):
    victim = tmp_path / "victim.txt"
    victim.write_text("not to be touched")
    state = unlisted(run) / "checkpoints" / "step-10" / "state.json"
    good = json.loads(state.read_text())
    for damage in (
        {"positions": {"../victim.txt": 0}},
        {"positions": []},
        {"step": 99},
        {"updates": "a"},
        {"positions": {"log.jsonl": -1, "samples.txt": 0}},
    ):
        state.write_text(json.dumps(good | damage))
        assert f"the checkpoint file {state} is damaged" in error("train", "--resume", run, "--steps", 20)
    for damaged in ("{}", "[]", "5"):
        state.write_text(damaged)
        assert f"the checkpoint file {state} is damaged" in error("train", "--resume", run, "--steps", 20)
    assert victim.read_text() == "not to be touched"


def test_what_stands_after_a_log_does_not_matter(run, capsys):
    good = (run / "log.jsonl").read_bytes()
    (run / "log.jsonl").write_bytes(good + b'5\n[]\n\xff\xfe\n{"step": 1%s}\n{"step": 3, "loss": "4"}\n' % (b"0" * 400))
    assert main(["plot", str(run)]) == 0
    assert main(["train", "--resume", str(run)]) == 0
    assert (run / "log.jsonl").read_bytes() == good  # what comes after the last checkpoint was made again


def test_a_log_that_lacks_steps_is_said_or_refused(error, run, capsys):
    """A checkpoint knows how long log and samples were; one without a list of hashes only says that they are short."""
    for name in ("samples.txt", "log.jsonl"):
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[:20])
        sentence = error("train", "--resume", run, "--steps", "20")
        assert f"the file {run / name} is damaged (it has 20 bytes where" in sentence
        (run / name).unlink()
        assert f"the file {run / name} is damaged (it is missing)" in error("train", "--resume", run, "--steps", "20")
        (run / name).write_bytes(content)
    (unlisted(run) / "log.jsonl").write_text("")
    assert main(["train", "--resume", str(run), "--steps", "12"]) == 0
    said = capsys.readouterr().err
    assert "log.jsonl is shorter than it was at the checkpoint: a part of it is missing" in said
    assert "damage to its files would not be noticed" in said


def test_a_damaged_token_cache_is_made_anew(trained, run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))
    expected = json_of(capsys, "eval", run, "--json")
    (shard,) = (tmp_path / "cache" / "tokens").glob("*.bin")
    content = shard.read_bytes()
    for damaged in (content[:50], b"", bytes(len(content)), b"\xff" * len(content)):
        shard.write_bytes(damaged)
        assert json_of(capsys, "eval", run, "--json") == expected
        assert shard.read_bytes() == content


def test_eval_insists_on_the_text_of_the_run(error, trained, run, tmp_path):
    config = unlisted(run) / "config.toml"
    moved = tmp_path / "moved.txt"
    config.write_text(config.read_text().replace(str(trained[0]), str(moved)))
    for command in (["eval", run], ["train", "--resume", run, "--steps", "30"]):
        assert f"is no longer at {moved}; give its new place with --data" in error(*command)
    moved.write_text(trained[0].read_text() + "1 plus 1 is 2.\n")
    assert "the text is not the one that" in error("eval", run)


def test_bits_per_byte_of_bytes(trained, tmp_path, capsys):
    """A text that starts inside a character still has as many bytes as it has byte tokens."""
    text = tmp_path / "t.txt"
    text.write_text("é" * 400)
    assert main([*arguments(text, tmp_path / "run", 2), "--tokenizer", "byte"]) == 0
    result = json_of(capsys, "eval", tmp_path / "run", "--data", text, "--json")
    assert result["tokens"] == 799 and result["bits_per_byte"] == pytest.approx(result["loss"] / 0.6931471805599453)


def test_weights_that_are_not_finite(error, run):
    from safetensors.numpy import load_file, save_file

    checkpoint = unlisted(run) / "checkpoints" / "step-10"
    for name, key, value in (("optimizer", "v", float("inf")), ("model", "tokens", float("nan"))):
        path = checkpoint / f"{name}.safetensors"
        tensors = load_file(path)
        tensors[key][:1] = value
        save_file(tensors, path)
        sentence = error("train", "--resume", run, "--steps", 20)
        assert f"{path} is damaged ({key} has numbers that are not finite); " in sentence and "step-5" in sentence
    for command in (["sample", run, "--json"], ["eval", run], ["convert", run, "hf", "--to", "hf"]):
        assert f"{path} is damaged (tokens has numbers that are not finite)" in error(*command)


FULL = (">/dev/full", 2, "No space left on device")


@pytest.mark.parametrize(
    "redirect, status, message", some([FULL, (">&-", 0, ""), ("2>&-", 0, "")], [FULL], "the same on a full device")
)
def test_output_that_cannot_be_written(run, redirect, status, message):
    command = f"'{sys.executable}' -m minigpt sample '{run}' --tokens 5 {redirect}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == status and message in done.stderr and done.stderr.count("\n") == bool(message)


@pytest.mark.slow("test_output_that_cannot_be_written: the other output")
def test_any_terminal_can_show_any_text(tmp_path, capsys):
    text = tmp_path / "t.txt"
    text.write_text("Grüße aus 東京 🙂\n" * 40)
    assert main([*arguments(text, tmp_path / "run", 2), "--tokenizer", "char"]) == 0
    command = [sys.executable, "-m", "minigpt", "sample", str(tmp_path / "run"), "--prompt", "Grüße"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and done.stdout.startswith(b"Gr\\xfc\\xdfe") and done.stderr == b""


def test_two_runs_at_once_get_folders_of_their_own(trained, tmp_path, monkeypatch, capsys):
    """Another process takes the number, or the place, while this one prepares its folder."""
    from minigpt.cli import train as train_command

    monkeypatch.chdir(tmp_path)
    right = train_command.Trainer.start

    def slow(self):
        right(self)
        shutil.copytree(trained[1], tmp_path / "runs" / "tiny-1", dirs_exist_ok=True)
        shutil.copytree(trained[1], tmp_path / "place", dirs_exist_ok=True)

    monkeypatch.setattr(train_command.Trainer, "start", slow)
    plain = [a for a in arguments(trained[0], "x", 2) if a not in ("--out", "x")]
    assert json_of(capsys, *plain, "--json")["run"] == "runs/tiny-2"
    assert main([*plain, "--out", "place"]) == 2
    assert "place exists: continue it with --resume place" in capsys.readouterr().err
    assert (tmp_path / "place" / "checkpoints" / "step-10").exists()


def test_force_leaves_a_run_alone_that_is_being_trained(error, trained, run):
    from minigpt.train.run_folder import locked

    with locked(run):
        assert "another process is training" in error(*arguments(trained[0], run, 2), "--force")
    assert (run / "checkpoints" / "step-10").exists()


@pytest.mark.parametrize(
    "spec", some(["bpe:300", "wordpiece:60", "gpt:60", "byte", "char"], ["bpe:300"], "the same with byte-level BPE")
)
def test_every_kind_of_tokenizer_trains_resumes_and_evaluates(trained, tmp_path, capsys, spec):
    run = tmp_path / "run"
    assert main([*arguments(trained[0], run, 3), "--tokenizer", spec]) == 0
    assert main(["train", "--resume", str(run), "--steps", "5"]) == 0
    result = json_of(capsys, "eval", run, "--json")
    assert result["tokens"] > 10 and 0 < result["bits_per_byte"] < 20
    assert json_of(capsys, "sample", run, "--json", "--prompt", "3 plus")["tokens"] == 12


def test_a_tokenizer_the_model_was_not_trained_with(error, run):
    path = unlisted(run) / "tokenizer.json"
    other = json.loads(path.read_text())
    other["characters"] = "".join(chr(ord(c) + 1) for c in other["characters"])  # as many, but others
    path.write_text(json.dumps(other))
    for command in (["sample", run], ["eval", run], ["train", "--resume", run, "--steps", 20]):
        sentence = error(*command)
        assert "does not fit its model" in sentence or "is not among" in sentence
