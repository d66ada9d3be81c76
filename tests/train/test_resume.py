"""Stopping and resuming gives the same bits as never stopping, wherever the stop comes, in the middle of a save too."""

import json
import random
import shutil
import signal
import subprocess
import sys

import pytest

from minigpt.cli import main
from minigpt.core import disk
from minigpt.interop.loaded import load
from minigpt.train import checkpoint as checkpoints
from minigpt.train import trainer as trainers
from minigpt.train.log import read_log
from minigpt.train.objectives import base

from ..tiers import some
from .runs import arguments, contents, train, unlisted

STEPS = 20


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("reference")
    text = folder / "text.txt"
    text.write_text("".join(f"{i} and {i * i} are numbers, {i % 7} is one too.\n" for i in range(120)))
    patch = pytest.MonkeyPatch()
    patch.setenv("MINIGPT_CACHE", str(folder / "cache"))
    assert train(text, folder / "run", STEPS) == 0
    patch.undo()
    return text, folder / "run"


def stop_after(monkeypatch, step):
    """Make the next training stop, as Ctrl-C would, once it has done this many steps."""
    right = trainers.Trainer.train

    def stopping(self, **keywords):
        return right(self, should_stop=lambda: self.state.step >= step)

    monkeypatch.setattr(trainers.Trainer, "train", stopping)


def assert_same(run, reference_run):
    ours, theirs = contents(run, step=STEPS), contents(reference_run, step=STEPS)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name] == theirs[name], name


def test_repeating_gives_the_same_bits(reference, tmp_path):
    text, run = reference
    assert train(text, tmp_path / "run", STEPS) == 0
    assert_same(tmp_path / "run", run)


def test_another_seed_does_not(reference, tmp_path):
    text, run = reference
    assert train(text, tmp_path / "run", STEPS, train__seed=1) == 0
    ours, theirs = contents(tmp_path / "run", step=STEPS), contents(run, step=STEPS)
    assert all(ours[name] != theirs[name] for name in ours)


@pytest.mark.parametrize("step", some([0, 1, 5, 6, 7, 13, 19], [7], "the same after seven steps"))
def test_stopping_and_resuming_gives_the_same_bits(reference, tmp_path, monkeypatch, capsys, step):
    text, run = reference
    with monkeypatch.context() as patch:
        stop_after(patch, step)
        assert train(text, tmp_path / "run", STEPS) == 130
    assert f"continue with: minigpt train --resume {tmp_path / 'run'}" in capsys.readouterr().err
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert_same(tmp_path / "run", run)


@pytest.mark.slow("test_stopping_and_resuming_gives_the_same_bits: once")
def test_other_operations_than_before_are_said(reference, tmp_path, capsys):
    text, _ = reference
    out = tmp_path / "run"
    assert train(text, out, 2, train__operations="plain") == 0
    state = out / "checkpoints" / "step-2" / "state.json"
    kept = json.loads(state.read_text())
    assert kept["operations"] == "plain"
    assert main(["train", "--resume", str(out), "--steps", "3"]) == 0
    assert "note: the run's steps so far" not in capsys.readouterr().err
    state = out / "checkpoints" / "step-3" / "state.json"
    kept = json.loads(state.read_text())
    state.write_text(json.dumps(kept | {"operations": "compiled"}))
    unlisted(out)
    assert main(["train", "--resume", str(out), "--steps", "4"]) == 0
    said = capsys.readouterr().err
    assert "steps so far were made with compiled operations, the next ones will be made with plain ones" in said
    assert said.count("note: ") == 1 and "bits can differ" in said


def test_stopping_many_times(reference, tmp_path, monkeypatch):
    text, run = reference
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        train(text, tmp_path / "run", STEPS)
    for step in (3, 4, 11, 12, 17):
        with monkeypatch.context() as patch:
            stop_after(patch, step)
            assert main(["train", "--resume", str(tmp_path / "run")]) == 130
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert_same(tmp_path / "run", run)


def test_resuming_a_finished_run_changes_nothing(reference, tmp_path):
    _, run = reference
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert main(["train", "--resume", str(copy)]) == 0
    assert_same(copy, run)


def test_more_steps_go_on_from_the_end(reference, tmp_path):
    _, run = reference
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert main(["train", "--resume", str(copy), "--steps", str(STEPS + 5)]) == 0
    steps = [line["step"] for line in read_log(copy) if "loss" in line]
    assert steps == list(range(1, STEPS + 6))
    assert load(copy).config.train.steps == STEPS + 5


def test_log_lines_and_samples_after_the_checkpoint_are_not_doubled(reference, tmp_path):
    """A process that dies between two checkpoints has logged more than it saved."""
    _, run = reference
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "checkpoints" / f"step-{STEPS}")  # back at step 15, with the log of 20 steps
    with open(copy / "log.jsonl", "a") as log:
        log.write('{"step": 21, "lo')  # and cut off in the middle of a line
    assert main(["train", "--resume", str(copy)]) == 0
    assert_same(copy, run)


class Killed(BaseException):
    """Stands for a process that ends here: nothing in the package catches it."""


@pytest.mark.parametrize("call", some(range(1, 25), [9, 17], "the same at two of the calls"))
def test_dying_at_any_call_of_a_save_leaves_a_run_that_resumes(reference, tmp_path, monkeypatch, call):
    """The file-system calls of saving at step 10 are counted, and the process dies just before one of them."""
    text, run = reference
    calls, saving = [], []

    def counted(function):
        def wrapper(*arguments, **keywords):
            if saving:
                calls.append(function)
                if len(calls) == call:
                    raise Killed
            return function(*arguments, **keywords)

        return wrapper

    right = checkpoints.save_checkpoint

    def save(folder, step, *arguments, **keywords):
        saving[:] = [True] if step == 10 else []
        return right(folder, step, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(trainers, "save_checkpoint", save)
        for name in ("make", "write", "sync", "rename", "remove_tree"):
            patch.setattr(disk, name, counted(getattr(disk, name)))
        died = False
        try:
            train(text, tmp_path / "run", STEPS)
        except Killed:
            died = True
    # remove_tree; 5 syncs; make; 4 times write and sync; sync, rename, sync; rename, sync, remove_tree
    assert died == (call <= 21)
    load(tmp_path / "run")
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert_same(tmp_path / "run", run)
    leftovers = [p.name for p in (tmp_path / "run" / "checkpoints").iterdir() if p.name.startswith(".")]
    assert leftovers == []


# A process that counts its own function calls, Python's and C's, all of them or those of saving alone, and sends itself
# a signal at one of them: a moment as arbitrary as any, and the same every time.
AT_A_CALL = """
import os, sys
from minigpt.blocks.dispatch import operations
from minigpt.cli import build_parser, main
from minigpt.cli import train  # imports everything, so that what is counted is the run
from minigpt.core.backend import get_backend
build_parser("train")
operations("auto", get_backend("numpy"))
from minigpt.train import trainer
number, limit, where = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
counts, saving = {"anywhere": 0, "saving": 0}, False

def tick(frame, event, argument):
    counts["anywhere"] += 1
    counts["saving"] += saving
    if counts[where] == limit and (saving or where == "anywhere"):
        os.kill(os.getpid(), number)

def save(*arguments, **keywords):
    global saving
    saving = True
    try:
        return save_checkpoint(*arguments, **keywords)
    finally:
        saving = False

save_checkpoint = trainer.save_checkpoint
trainer.save_checkpoint = save

draw_curves = train._draw_curves
train._draw_curves = lambda run: (sys.setprofile(None), draw_curves(run))  # not the thousands of calls of a plot
sys.setprofile(tick)
status = main(sys.argv[4:])
print(*counts.values(), file=sys.stderr)
sys.exit(status)
"""


def run_with_signal(number, limit, arguments, where="anywhere"):
    command = [sys.executable, "-c", AT_A_CALL, str(int(number)), str(limit), where, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow("test_power.py: what any moment leaves behind opens")
@pytest.mark.parametrize("kills, steps", [(3, 40), (30, 300)])
def test_kills_at_random_moments(reference, tmp_path, kills, steps):
    """SIGKILL, every third of them while saving, and then a run to the end."""
    text, _ = reference
    settings = {"train__checkpoint_every": 1, "train__sample_every": 0, "train__eval_every": 0}
    once, often = tmp_path / "once", tmp_path / "often"
    assert train(text, once, steps, **settings) == 0
    short = run_with_signal(0, 0, arguments(text, tmp_path / "short", 5, **settings))
    # of preparing, five steps and the last evaluation; and of the six checkpoints
    calls = dict(zip(("anywhere", "saving"), map(int, short.stderr.split()[-2:]), strict=True))
    draw, seen, saving = random.Random(1), set(), 0
    for kill in range(kills):
        where = "saving" if kill % 3 == 2 else "anywhere"
        limit = draw.randrange(calls[where] // 4, calls[where])
        command = ["train", "--resume", often] if often.exists() else arguments(text, often, steps, **settings)
        assert run_with_signal(signal.SIGKILL, limit, command, where).returncode == -signal.SIGKILL
        if often.exists():
            load(often)  # the newest checkpoint is whole
            seen.add(checkpoints.latest_checkpoint(often).name)
            saving += any((often / "checkpoints").glob(".step-*"))
    assert len(seen) > kills // 3 and (saving > kills // 10 or kills < 10), (seen, saving)
    assert main(["train", "--resume", str(often)]) == 0
    ours, theirs = contents(often, step=steps), contents(once, step=steps)
    assert all(ours[name] == theirs[name] for name in theirs)


@pytest.mark.slow("test_stopping_and_resuming_gives_the_same_bits, and the kills")
@pytest.mark.parametrize("number", some([signal.SIGINT, signal.SIGTERM], [signal.SIGINT], "the same with SIGINT"))
@pytest.mark.parametrize("part", some([0.6, 0.8], [0.6], "the same a little earlier"))
def test_ctrl_c_finishes_the_step_saves_and_says_how_to_go_on(reference, tmp_path, number, part):
    text, run = reference
    whole = run_with_signal(0, 0, arguments(text, tmp_path / "whole", STEPS))
    stopped = tmp_path / "with space"
    limit = int(int(whole.stderr.split()[-2]) * part)
    done = run_with_signal(number, limit, arguments(text, stopped, STEPS, train__checkpoint_every=0))
    assert done.returncode == 130 and "Traceback" not in done.stderr and done.stdout == ""
    assert f"continue with: minigpt train --resume '{stopped}'" in done.stderr
    saved = checkpoints.load_state(checkpoints.latest_checkpoint(stopped))["step"]
    assert 0 < saved < STEPS
    assert (stopped / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert main(["train", "--resume", str(stopped)]) == 0
    assert_same(stopped, run)


def test_stopping_in_an_evaluation_costs_nothing(reference, tmp_path, monkeypatch):
    """Ctrl-C while the last, whole evaluation runs: it is given up, and done again on resuming."""
    text, run = reference
    right, asked = base.mean_loss, []

    def interrupted(model, params, batches, *, should_stop, **keywords):
        asked.append(len(batches))
        return right(model, params, batches, should_stop=lambda: len(batches) > asked[0], **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(base, "mean_loss", interrupted)
        assert train(text, tmp_path / "run", STEPS) == 130
    assert asked[-1] > asked[0] == asked[-2] and read_log(tmp_path / "run")[-1] == {**read_log(run)[-2], "step": STEPS}
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0
    assert_same(tmp_path / "run", run)


def test_two_processes_cannot_train_one_run(reference, tmp_path, capsys):
    from minigpt.train.run_folder import locked

    _, run = reference
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    with locked(copy):
        assert main(["train", "--resume", str(copy), "--steps", "25"]) == 2
    assert "another process is training" in capsys.readouterr().err
    assert json.loads((copy / "log.jsonl").read_text().splitlines()[-1])["step"] == STEPS
    assert (copy / "config.toml").read_bytes() == (run / "config.toml").read_bytes()
