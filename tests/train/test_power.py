"""The power fails at any moment of a run: what a checkpoint has saved is there, whole, and training goes on from it."""

import hashlib
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from minigpt.cli import main
from minigpt.cli import train as train_command
from minigpt.train import trainer as trainers
from minigpt.train.integrity import checkpoint_paths, problems
from minigpt.train.report import ended_at
from minigpt.train.run_folder import is_run, load_config

from .power import Disk, Recorder, Tree, read_tree, write_tree
from .runs import arguments, contents

RUN = "some/runs/run"
SETTINGS = {
    "train__checkpoint_every": 3,
    "train__eval_every": 2,
    "train__sample_every": 3,
    "train__workers": 1,
    "model__width": 8,
    "schedule__steps": 9,  # else the rates of the first steps would depend on how many are asked for
}


class Recorded(NamedTuple):
    """A run of six steps that was then resumed for nine, as calls; and its files."""

    calls: list[tuple]
    final: Tree
    run: dict[str, bytes]


@pytest.fixture
def memory(tmp_path):
    """A folder that no disk is behind, if there is one: thousands of states are written there."""
    if not os.path.isdir("/dev/shm"):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("power")
    text, root = folder / "text.txt", folder / "root"
    text.write_text("".join(f"{i} and {i * i} are numbers, {i % 7} is one too.\n" for i in range(120)))
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGPT_CACHE", str(folder / "cache"))
        recorder = Recorder(root, patch)

        def marking(name, what):
            right = getattr(*name)

            def call(*arguments, **keywords):
                result = right(*arguments, **keywords)
                if what != "saved" or arguments[0] == root / RUN:
                    recorder.mark(what, arguments[1] if what == "saved" else 0)
                return result

            patch.setattr(*name, call)

        marking((trainers, "save_checkpoint"), "saved")
        marking((train_command, "create_run"), "saved at first")
        marking((train_command, "rewrite_config"), "rewritten")
        assert main(arguments(text, root / RUN, 6, **SETTINGS)) == 0
        recorder.mark("ended", 6)
        assert main(["train", "--resume", str(root / RUN), "--steps", "9"]) == 0
        recorder.mark("ended", 9)
    return Recorded(recorder.calls, read_tree(root), contents(root / RUN, step=9))


class Promise(NamedTuple):
    """What must be there after a power cut: a checkpoint of at least this step, and the end of the run."""

    step: int | None = None
    ended: int | None = None
    rewritten: bool = False


def moments(calls):
    """The disk after each call, and what was promised by then."""
    disk, promise = Disk(), Promise()
    for name, *values in calls:
        if name == "mark" and values[0].startswith("saved"):
            promise = promise._replace(step=values[1], ended=None)
        elif name == "mark" and values[0] == "ended":
            promise = promise._replace(ended=values[1])
        elif name == "mark":
            promise = promise._replace(rewritten=True)
        else:
            if name == "truncate":
                promise = promise._replace(ended=None)  # it goes on
            disk.call(name, *values)
        yield disk, promise


def judge(run, promise):
    """What becomes of a run's folder: None if there is none yet, else the step that it goes on from."""
    if not is_run(run):
        assert promise.step is None
        return None
    checkpoints = checkpoint_paths(run)
    assert not any(map(problems, checkpoints))  # what has a checkpoint's name is whole
    step = int(checkpoints[-1].name.removeprefix("step-"))
    assert step >= (promise.step or 0)
    assert not promise.ended or ended_at(run) == promise.ended
    assert not promise.rewritten or load_config(run).train.steps == 9
    return step


def test_every_call_is_recorded(recorded):
    """Replayed, they give the very files that the run left, so nothing was written past them."""
    disk = Disk()
    for name, *values in recorded.calls:
        if name != "mark":
            disk.call(name, *values)
    tree = disk.tree(lambda number: True, lambda file: file.now)
    assert tree.items() <= recorded.final.items()
    assert {name.removeprefix(f"{RUN}/") for name in recorded.final.keys() - tree.keys()} == {"lock"}


def goes_on(run, expected):
    """Train to the end, and compare with the run that never stopped."""
    assert main(["train", "--resume", str(run), "--steps", "9"]) == 0
    assert contents(run, step=9) == expected


def campaign(recorded, folder, *, draws, of, train):
    """Judge every `of`-th state, and train on from `train` different ones of each step; the numbers of both."""
    draw, seen, count, trained = random.Random(0), set(), 0, {}
    for disk, promise in moments(recorded.calls):
        for state in disk.states(draws, draw):
            count += 1
            if count % of:
                continue
            tree = state()
            key = hashlib.sha256(repr((sorted(tree.items()), promise)).encode()).digest()
            if key in seen:
                continue
            seen.add(key)
            root = write_tree(folder / "state", tree)
            step = judge(root / RUN, promise)
            if step is not None and trained.get(step, 0) < train and draw.random() < 0.1:
                trained[step] = trained.get(step, 0) + 1
                goes_on(root / RUN, recorded.run)
            shutil.rmtree(root, ignore_errors=True)
    return count, len(seen), trained


def test_power_cuts(recorded, memory, capsys):
    """A few of the states of `test_all_power_cuts`."""
    count, judged, trained = campaign(recorded, memory, draws=1, of=40, train=1)
    assert count > 3000 and judged > 50 and len(trained) > 1


@pytest.mark.slow("test_power_cuts: one state in forty")
def test_all_power_cuts(recorded, memory, capsys):
    count, judged, trained = campaign(recorded, memory, draws=30, of=1, train=8)
    print(f"{count} states, {judged} different ones judged, trained on from {trained}")
    assert count > 5000 and judged > 2000 and min(trained.values()) > 2
    assert trained.keys() == {0, 3, 6, 9}
