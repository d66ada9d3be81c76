"""Nothing that a run does takes longer, or more memory, because the run is long: work is counted, not timed."""

import builtins
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minigpt.cli import main
from minigpt.interop.loaded import load
from minigpt.train import integrity, log

from .long_use import age
from .runs import train
from .test_resume import stop_after


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A run of two steps of very many, and its text."""
    folder = tmp_path_factory.mktemp("short")
    text = folder / "text.txt"
    text.write_text("".join(f"{i} and {i * i} are numbers, {i % 7} is one too.\n" for i in range(120)))
    settings = {"train__best": "loss", "train__eval_every": 5, "train__sample_every": 5, "train__workers": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGPT_CACHE", str(folder / "cache"))
        stop_after(patch, 2)
        assert train(text, folder / "run", 2_000_000, **settings) == 130
    return folder / "run"


class Counted:
    """A file that counts what is read of it."""

    def __init__(self, file, count):
        self.file, self.count = file, count

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()

    def __iter__(self):
        for line in self.file:
            self.count(len(line))
            yield line

    def seek(self, at):
        self.file.seek(at)

    def read(self, size=-1):
        data = self.file.read(size)
        self.count(len(data))
        return data


@pytest.fixture
def read(monkeypatch):
    """Bytes read by name of file, in the modules that read a run's logs."""
    found = {}

    def counting(path, *arguments, **keywords):
        def count(size, name=Path(path).name):
            found[name] = found.get(name, 0) + size

        return Counted(builtins.open(path, *arguments, **keywords), count)

    for module in (integrity, log):
        monkeypatch.setattr(module, "open", counting, raising=False)
    return found


def test_a_long_log_is_read_once_on_resuming_and_never_else(short, tmp_path, monkeypatch, read):
    """Opening reads none of it; training, saving, judging the best, and the end no more than a few pieces of it."""
    monkeypatch.setattr(log, "_BLOCK", 1 << 12)
    run = shutil.copytree(short, tmp_path / "run")
    age(run, lines=4000, checkpoints=3)
    size = {name: (run / name).stat().st_size for name in ("log.jsonl", "samples.txt")}
    blocks = 2 * log._BLOCK
    assert size["log.jsonl"] > 3 * blocks
    read.clear()
    load(run)
    assert not read.get("log.jsonl") and "samples.txt" not in read
    with monkeypatch.context() as patch:
        stop_after(patch, 4012)
        assert main(["train", "--resume", str(run)]) == 130  # two checkpoints and evaluations, and one of both
    assert size["log.jsonl"] <= read.pop("log.jsonl") <= size["log.jsonl"] + blocks
    assert size["samples.txt"] <= read.pop("samples.txt") <= size["samples.txt"] + blocks
    assert main(["train", "--resume", str(run), "--steps", "4013"]) == 0
    read.clear()
    load(run)
    assert read.get("log.jsonl", 0) < blocks


def test_the_log_is_read_from_its_end(tmp_path, monkeypatch):
    """Whatever the size of the pieces, and with lines that are none."""
    lines = [f'{{"step": {n}, "loss": {n}.25, "text": "é"}}' for n in range(1, 30)]
    lines[7:7] = ["", "no line", '{"step": 8, "val_loss": 1.5}', "[1]", '{"loss": 3}']
    lines += ['{"step": 30, "val_loss": 2.5}', '{"step": 31, "lo']
    (tmp_path / "log.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for block in (1, 2, 7, 40, 1 << 16):
        monkeypatch.setattr(log, "_BLOCK", block)
        assert list(log.log_backwards(tmp_path)) == log.read_log(tmp_path)[::-1]
        assert log.last_losses(tmp_path, 3) == [27.25, 28.25, 29.25] and len(log.last_losses(tmp_path, 99)) == 29
        assert log.last_evaluation(tmp_path, 30)["val_loss"] == 2.5 and log.last_evaluation(tmp_path, 29) is None
    assert log.last_losses(tmp_path / "none", 3) == [] and log.last_evaluation(tmp_path / "none", 1) is None


def test_the_last_sample_is_read_from_where_the_checkpoint_was_made(tmp_path):
    before = "--- step 5 ---\nlong ago\n\n"
    (tmp_path / "samples.txt").write_text(f"{before}--- step 12 ---\nthé end\n\n", encoding="utf-8")
    assert log.last_sample(tmp_path, 12, len(before)) == "thé end"
    assert log.last_sample(tmp_path, 2, len(before)) is None and log.last_sample(tmp_path, 12, 0) is None
    assert log.last_sample(tmp_path, 12, 1000) is None and log.last_sample(tmp_path / "none", 12, 0) is None


@pytest.mark.exhaustive  # two minutes and a gigabyte of disk; what is read is counted at a small size above
def test_a_gigabyte_of_text_in_ten_thousand_files_a_million_lines_and_a_thousand_checkpoints(tmp_path, monkeypatch):
    """At most 3 seconds of one core and 200 MB, from starting Python to the first step."""
    texts, cache = tmp_path / "texts", tmp_path / "cache"
    texts.mkdir()
    block = "".join(f"{i} and {i * i} are numbers, {i % 7} is one too.\n" for i in range(2500)).encode()
    for number in range(10_000):
        (texts / f"{number:05d}.txt").write_bytes((f"File {number}\n".encode() + block)[:100_000])
    monkeypatch.setenv("MINIGPT_CACHE", str(cache))
    settings = {"data__tokenizer": "byte", "data__validation_fraction": 0.0001, "train__operations": "fast"}
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        never = {"train__eval_every": 0, "train__sample_every": 0}
        assert train(texts, tmp_path / "run", 2_000_000, **settings, **never) == 130
    age(tmp_path / "run", lines=1_000_000, checkpoints=1000)
    command = [sys.executable, "-m", "tests.train.long_use", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    taken = json.loads(done.stdout)
    print(taken, file=sys.stderr)
    assert taken["seconds"] < 3 and taken["megabytes"] < 200
    assert len(os.listdir(tmp_path / "run" / "checkpoints")) == 1000
