"""Kills at any moment, flipped bits and cut files: a run goes on to the same bits, or says what is damaged."""

import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from tqdm import tqdm

from minigpt.cli import main
from minigpt.cli import train as train_command
from minigpt.train.integrity import checkpoint_paths, problems
from minigpt.train.run_folder import is_run

from .runs import arguments, contents, train
from .test_resume import stop_after

STEPS = 16
SETTINGS = {"train__checkpoint_every": 4, "train__workers": 1}


@pytest.fixture(scope="module")
def memory():
    """A folder that no disk is behind, if there is one: hundreds of runs are written there."""
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=place) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGPT_CACHE", f"{folder}/cache")
        yield Path(folder)


@pytest.fixture(scope="module")
def runs(memory):
    """A text, a run that was stopped after ten of sixteen steps, and one that was not."""
    text = memory / "text.txt"
    text.write_text("".join(f"{i} and {i * i} are numbers, {i % 7} is one too.\n" for i in range(120)))
    assert train(text, memory / "whole", STEPS, **SETTINGS) == 0
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 10)
        assert train(text, memory / "stopped", STEPS, **SETTINGS) == 130
    for name in ("whole", "stopped"):
        (memory / name / "curves.png").write_bytes(b"\x89PNG and so on")
    return memory / "stopped", memory / "whole"


def flipped(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]


def cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def damage_and_resume(run: Path, whole: Path, path: Path, damage, draw, capsys) -> str:
    """What becomes of a run with one damaged file: "same" bits, or "refused", and then the same by the advice given."""
    path.write_bytes(damage(path.read_bytes(), draw))
    expected = contents(whole, step=STEPS)
    capsys.readouterr()
    status = main(["train", "--resume", str(run)])
    said = capsys.readouterr()
    if status == 0:
        assert contents(run, step=STEPS) == expected
        return "same"
    assert status == 2 and said.out == "" and said.err.count("\n") == 1 and "Traceback" not in said.err
    assert str(path) in said.err and " is damaged (" in said.err
    if good := re.search(r"/(step-\d+) is good: to go on from there, remove (step-\d+)", said.err):
        assert problems(run / "checkpoints" / good[1]) == []
        shutil.rmtree(run / "checkpoints" / good[2])
        assert main(["train", "--resume", str(run)]) == 0
        assert contents(run, step=STEPS) == expected
        return "refused, and went on from the good one"
    assert "put back what was there" in said.err or "no other checkpoint is good" in said.err
    return "refused"


def damage_all(runs, memory, damage, count, capsys):
    draw, found = random.Random(0), {}
    for number in range(count):
        source = runs[number % 2]
        files = sorted(p for p in source.rglob("*") if p.is_file() and p.stat().st_size)
        name = files[number // 2 % len(files)].relative_to(source)
        run = shutil.copytree(source, memory / "damaged")
        outcome = damage_and_resume(run, runs[1], run / name, damage, draw, capsys)
        shutil.rmtree(run)
        found.setdefault(str(name), []).append(outcome)
    return found


def judge_outcomes(found: dict[str, list[str]]) -> None:
    """What all checkpoints need is always refused; what none needs never."""
    outcomes = {name: set(values) for name, values in found.items()}
    assert outcomes["config.toml"] == outcomes["tokenizer.json"] == {"refused"}
    for name in ("timing.jsonl", "curves.png", "finished.json"):
        assert outcomes[name] == {"same"}
    for name, values in outcomes.items():
        if name.startswith(("checkpoints/step-10", "checkpoints/step-16")):
            assert values == {"refused, and went on from the good one"}
        elif name.startswith("checkpoints/"):
            assert values == {"same"}  # an older one, which is not looked at


@pytest.mark.slow("test_integrity.py: a few bits and cuts of each file")
def test_three_hundred_flipped_bits(runs, memory, capsys):
    judge_outcomes(damage_all(runs, memory, flipped, 300, capsys))


@pytest.mark.slow("test_integrity.py: a few bits and cuts of each file")
def test_a_hundred_and_forty_truncations(runs, memory, capsys):
    judge_outcomes(damage_all(runs, memory, cut, 140, capsys))


def forked(command: list[str], errors: Path) -> int:
    """A process that runs a command; a fork of this one, which need not import anything."""
    pid = os.fork()
    if pid == 0:
        status = 99
        tqdm.set_lock(threading.RLock())  # the usual one all forks share: one killed with it stops the others
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            status = main(command)
            sys.stderr.flush()
        finally:
            os._exit(status)
    return pid


def children(pid: int) -> list[int]:
    try:
        return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.slow("test_resume.test_kills_at_random_moments: three of them")
def test_a_hundred_kills(runs, memory, monkeypatch):
    """Of the process, and every third of one of the forks that work for it; the run is gone on with at once."""
    text, settings = memory / "text.txt", SETTINGS | {"train__workers": 2, "train__checkpoint_every": 1}
    monkeypatch.setattr(train_command, "_draw_curves", lambda run: None)
    started = time.monotonic()
    assert train(text, memory / "once", STEPS, **settings) == 0
    takes, draw, expected = time.monotonic() - started, random.Random(0), contents(memory / "once", step=STEPS)
    kills, ends, saved, run = {"process": 0, "fork": 0}, 0, 0, memory / "killed"
    while sum(kills.values()) < 100:
        resumed = is_run(run)
        command = ["train", "--resume", str(run)] if resumed else arguments(text, run, STEPS, **settings)
        pid = forked(command, memory / "errors")
        time.sleep(draw.uniform(0, takes))
        forks, its_turn = children(pid), sum(kills.values()) % 3 == 2
        while its_turn and not forks and not has_ended(pid):
            time.sleep(0.001)
            forks = children(pid)
        of_fork = its_turn and bool(forks)
        os.kill(forks[0] if of_fork else pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status in ((0, 2) if of_fork else (0, -signal.SIGKILL)), (memory / "errors").read_text()
        if status == 2:
            assert "a process that computed a part of the batch was ended" in (memory / "errors").read_text()
        kills["fork" if of_fork else "process"] += status != 0
        if is_run(run):
            assert not any(map(problems, checkpoint_paths(run)))
            saved += len(list((run / "checkpoints").glob(".step-*")))
        if status == 0:
            assert contents(run, step=STEPS) == expected
            shutil.rmtree(run)
            ends += 1
    assert kills["fork"] > 20
    assert main(["train", "--resume", str(run)] if is_run(run) else arguments(text, run, STEPS, **settings)) == 0
    assert contents(run, step=STEPS) == expected
    print(f"{kills}, {saved} of them while saving, {ends} runs to their end meanwhile")
