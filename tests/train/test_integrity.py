"""A run's files are what a checkpoint's list says, or it is refused with a sentence that names the good checkpoint."""

import hashlib
import json
import os
import shutil

import pytest

from minigpt.cli import main
from minigpt.interop.loaded import load
from minigpt.train import integrity
from minigpt.train.log import RunLog

from ..tiers import some
from .runs import contents, train, unlisted

OWN = ("model.safetensors", "optimizer.safetensors", "state.json")
TEXT = "".join(f"{i} and {i * i} are numbers, {i % 7} is one too.\n" for i in range(120))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A text, and a run of ten steps with checkpoints of 5 and 10, and an evaluation and a sample after the last."""
    folder = tmp_path_factory.mktemp("finished")
    text = folder / "text.txt"
    text.write_text(TEXT)
    patch = pytest.MonkeyPatch()
    patch.setenv("MINIGPT_CACHE", str(folder / "cache"))
    assert train(text, folder / "run", 10, train__workers=1) == 0
    patch.undo()
    return text, folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished[1], tmp_path / "run")


def flip(path, at, bit=0):
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def sentence(capsys, *arguments) -> str:
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and shown.err.startswith("minigpt: error: "), shown
    return shown.err


def test_the_list_has_length_and_sha256_of_all_that_resuming_needs(finished):
    """As hashlib has them of the files' bytes; of log and samples, of as many as the state says."""
    _, run = finished
    checkpoint = run / "checkpoints" / "step-10"
    listed = json.loads((checkpoint / "hashes.json").read_bytes())
    positions = json.loads((checkpoint / "state.json").read_bytes())["positions"]
    expected = {}
    for name in ("config.toml", "tokenizer.json", "log.jsonl", "samples.txt"):
        data = (run / name).read_bytes()
        expected[name] = data[: positions.get(name, len(data))]
    for name in OWN:
        expected[name] = (checkpoint / name).read_bytes()
    assert listed["files"] == {n: [len(x), hashlib.sha256(x).hexdigest()] for n, x in expected.items()}
    canonical = json.dumps({"files": listed["files"]}, sort_keys=True)
    assert listed["sha256"] == hashlib.sha256(canonical.encode()).hexdigest()
    assert 0 < positions["log.jsonl"] < (run / "log.jsonl").stat().st_size


@pytest.mark.parametrize(
    "name", some([*OWN, "hashes.json"], ["optimizer.safetensors", "hashes.json"], "the same with the moments")
)
def test_damage_to_a_checkpoint_is_refused_and_the_good_one_named(run, capsys, name):
    path = run / "checkpoints" / "step-10" / name
    whole = path.read_bytes()
    for damage in (whole[:-1], b"", whole[:9] + bytes([whole[9] ^ 16]) + whole[10:], None):
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage)
        said = sentence(capsys, "train", "--resume", run, "--steps", "12")
        assert f"the checkpoint file {path} is damaged (" in said
        assert f"{run}/checkpoints/step-5 is good: to go on from there, remove step-10" in said
    shutil.rmtree(path.parent)
    assert main(["train", "--resume", str(run), "--steps", "12"]) == 0


def test_a_damaged_checkpoint_is_not_opened_either(run, capsys, tmp_path):
    flip(run / "checkpoints" / "step-10" / "model.safetensors", -3, 6)  # a weight that is a little different
    for command in (["sample", run], ["eval", run], ["convert", run, tmp_path / "hf", "--to", "hf"]):
        assert "step-5 is good: to go on from there, remove step-10" in sentence(capsys, *command)
    assert load(run / "checkpoints" / "step-5").params.flat.size  # it says which one is good, and that one opens
    flip(run / "checkpoints" / "step-5" / "hashes.json", 30)
    assert "no other checkpoint is good" in sentence(capsys, "sample", run)


@pytest.mark.parametrize(
    "name", some(["config.toml", "tokenizer.json"], ["config.toml"], "the same with the configuration")
)
def test_damage_to_what_all_checkpoints_need(run, capsys, name):
    whole = (run / name).read_bytes()
    cut = whole.index(b"[schedule]") if name == "config.toml" else 20  # a whole configuration, but for its defaults
    for damage in (whole[:cut], whole[:-2] + b"x\n", b""):
        (run / name).write_bytes(damage)
        for command in (["train", "--resume", run, "--steps", "12"], ["sample", run]):
            said = sentence(capsys, *command)
            assert f"the file {run / name} is damaged (" in said and "put back what was there" in said


def test_damage_to_the_log_names_the_checkpoint_before_it(run, capsys):
    before = json.loads((run / "checkpoints" / "step-5" / "state.json").read_bytes())["positions"]["log.jsonl"]
    flip(run / "log.jsonl", before + 20)
    said = sentence(capsys, "train", "--resume", run)
    assert f"the file {run}/log.jsonl is damaged (its SHA-256 is not" in said and "step-5 is good" in said
    flip(run / "log.jsonl", before - 20)
    assert "no other checkpoint is good" in sentence(capsys, "train", "--resume", run)


def test_what_was_logged_after_the_last_checkpoint_is_measured_again(finished, run, capsys):
    """Its list cannot know it; the note of the run's end does."""
    same = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    for name, at in (("log.jsonl", -8), ("finished.json", 12)):
        flip(run / name, at)
        assert main(["info", str(run), "--verify"]) == 1
        assert "end: what was logged after the last step is damaged; resuming measures" in capsys.readouterr().out
        assert main(["train", "--resume", str(run)]) == 0
        assert "resuming at step 10" in capsys.readouterr().err
        assert {path.name: path.read_bytes() for path in run.iterdir() if path.name in same} == same
    (run / "finished.json").unlink()
    assert main(["train", "--resume", str(run)]) == 0
    assert "resuming at step 10" in capsys.readouterr().err


def test_a_configuration_that_was_changed_on_purpose_has_a_seal(run, capsys):
    """Resuming with more steps writes one; by hand, the sentence says the line that is due."""
    assert main(["train", "--resume", str(run), "--steps", "11"]) == 0
    text = (run / "config.toml").read_text()
    lines, seal = text.rsplit("\n", 2)[0] + "\n", text.splitlines()[-1]
    assert "steps = 11\n" in lines and seal.split(": ")[1] == hashlib.sha256(lines.encode()).hexdigest()
    (run / "config.toml").write_text(text.replace("steps = 11", "steps = 13"))
    said = sentence(capsys, "train", "--resume", run)
    assert "it is not what was saved; if you changed it yourself, end it with the line # SHA-256" in said
    mended = lines.replace("steps = 11", "steps = 13")
    (run / "config.toml").write_text(
        mended + f"# SHA-256 of the lines above: {hashlib.sha256(mended.encode()).hexdigest()}\n"
    )
    assert main(["train", "--resume", str(run)]) == 0
    assert json.loads((run / "log.jsonl").read_text().splitlines()[-1])["step"] == 13


def test_the_seal_that_the_sentence_names_is_the_right_one(run, capsys):
    path = run / "config.toml"
    path.write_text(path.read_text().replace("weight_decay = 0.1", "weight_decay = 0.2"))
    line = sentence(capsys, "sample", run).split("end it with the line ")[1].split(")")[0]
    path.write_text(f"{path.read_text()}{line}\n")
    assert load(run).config.optimizer.weight_decay == 0.2


def test_info_verifies_every_checkpoint(run, capsys):
    capsys.readouterr()
    assert main(["info", str(run), "--verify"]) == 0
    assert capsys.readouterr().out == "step-5: good\nstep-10: good\n"
    flip(run / "checkpoints" / "step-5" / "optimizer.safetensors", 900)
    flip(run / "checkpoints" / "step-10" / "state.json", 12)
    assert main(["info", str(run), "--verify", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [len(found["damage"][name]) for name in ("step-5", "step-10")] == [1, 1] and found["unverified"] == []
    assert "optimizer.safetensors is damaged (its SHA-256" in found["damage"]["step-5"][0]
    os.unlink(run / "tokenizer.json")
    assert main(["info", str(run), "--verify"]) == 1
    assert capsys.readouterr().out.count("tokenizer.json is damaged (it is missing)") == 2


def test_a_run_of_before_opens_and_is_called_unverified(run, capsys):
    unlisted(run)
    flip(run / "checkpoints" / "step-10" / "model.safetensors", -3)
    assert load(run).params.flat.size
    assert main(["info", str(run), "--verify"]) == 0
    assert "step-10: unverified: it is of before there were lists of hashes" in capsys.readouterr().out
    assert main(["train", "--resume", str(run), "--steps", "11"]) == 0
    assert "damage to its files would not be noticed" in capsys.readouterr().err
    (run / "checkpoints" / "step-11" / "model.safetensors").write_bytes(b"")
    assert "step-10 is beside it: to go on from there, remove step-11" in sentence(capsys, "sample", run)


def test_hashes_are_of_what_was_meant_not_of_what_a_disk_made_of_it(run, monkeypatch, capsys):
    """A byte that changes on the disk between two checkpoints is not taken over into the next list."""
    right = RunLog.line

    def line(self, **values):
        right(self, **values)
        if values.get("step") == 11:
            for name in ("log.jsonl", "tokenizer.json"):
                flip(run / name, 5)

    monkeypatch.setattr(RunLog, "line", line)
    assert main(["train", "--resume", str(run), "--steps", "12"]) == 0
    capsys.readouterr()
    assert main(["info", str(run), "--verify"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3
    assert all(f"{name} is damaged" in line for line in said[:2] for name in ("log.jsonl", "tokenizer.json"))


def test_saving_reads_neither_log_nor_samples(run, monkeypatch):
    """The hash of what was logged goes on from line to line: a checkpoint costs the same after any number of them."""
    read = []
    right = integrity.digest_of
    monkeypatch.setattr(integrity, "digest_of", lambda path, size=None: read.append(path.name) or right(path, size))
    assert main(["train", "--resume", str(run), "--steps", "25", "--json"]) == 0  # checkpoints at 15, 20 and 25
    once = ["config.toml", "tokenizer.json", "log.jsonl", "samples.txt", "model.safetensors", "optimizer.safetensors"]
    assert sorted(set(read)) == sorted([*once, "state.json"])
    assert all(read.count(name) == 1 for name in once[2:])
    assert contents(run, step=25)["log.jsonl"].count(b"\n") == 25 + 5
