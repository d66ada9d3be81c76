"""Workers: the same bits from one thread, several or forked processes, whatever happens to one of them."""

import dataclasses
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from minigpt import fast, ops
from minigpt.core.errors import UserError
from minigpt.data.batch import Batch
from minigpt.lab.benchmark.machine import children_seconds, own_seconds, peak_megabytes
from minigpt.models import GPT, GPTConfig
from minigpt.train.forks import Forks, can_fork, shared_copy, shared_zeros
from minigpt.train.optimizer import AdamW, OptimizerConfig, clip_factor
from minigpt.train.passes import Passes
from minigpt.train.stepper import stepping
from minigpt.train.threads import ThreadPool
from minigpt.train.workers import Processes, Threads, Trained, Workers, make_workers

from . import runs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are threads")

SHAPE = GPTConfig(vocab_size=50, context=16, layers=2, heads=2, width=32, dropout=0.1)


KINDS = (Workers, Threads, Processes)


@contextmanager
def workers_of(kind, workers, model, params, optimizer=None, operations=fast):
    """Workers of this kind."""
    trained = Trained(model, params, optimizer, Passes(operations))
    with ThreadPool(workers) as threads, closing(kind(trained, threads)) as made:
        yield made


def train(kind, workers, rows, passes=1, operations=fast):
    """Losses, norms and measures of five clipped steps, and the state behind them."""
    model = GPT(SHAPE)
    params = model.init(seed=0)
    optimizer = AdamW(params, OptimizerConfig())
    rng, seen = np.random.default_rng(0), []
    with workers_of(kind, workers, model, params, optimizer, operations) as made:
        for step in range(5):
            batches = [Batch(*rng.integers(0, 50, (2, rows, 16))) for _ in range(passes)]
            measures = {}
            loss, _ = made.loss_and_grads(batches, seed=1, step=step, measures=measures)
            norm = made.norm()
            seen.append((loss, norm, measures))
            made.update(1e-2, scale=clip_factor(norm, 0.5))
    return seen, optimizer.updates, [x.tobytes() for x in (params.flat, optimizer.m, optimizer.v)]


@pytest.mark.parametrize("operations", [fast, ops])
@pytest.mark.parametrize("workers, rows, passes", [(2, 8, 1), (3, 7, 2), (2, 1, 1), (4, 2, 1)])
def test_every_kind_gives_the_same_bits(workers, rows, passes, operations):
    serial, threads, processes = (train(kind, workers, rows, passes, operations) for kind in KINDS)
    assert serial == threads == processes
    assert threads[1] == 5 and len({loss for loss, *_ in threads[0]}) == 5


def test_workers_are_of_the_best_kind_that_can_be():
    model = GPT(SHAPE)
    params = model.init(seed=0)

    def kind(workers, compute=None, processes=True):
        with ThreadPool(workers) as threads:
            made = make_workers(Trained(model, params, passes=Passes(compute=compute)), threads, processes=processes)
            made.close()
        return type(made), made.count

    assert kind(1) == (Workers, 1) and kind(2) == (Processes, 2)
    assert kind(2, processes=False) == kind(2, compute="float16") == (Threads, 2)


def test_the_parameters_object_stays_the_one_that_the_caller_has():
    model = GPT(SHAPE)
    params = model.init(seed=0)
    before, old = params.flat.copy(), params["tokens"]
    with stepping(model, params, AdamW(params, OptimizerConfig()), workers=2, processes=True):
        np.testing.assert_array_equal(params.flat, before)
        assert not np.shares_memory(old, params.flat) and np.shares_memory(params["tokens"], params.flat)
    assert params.flat.sum() == before.sum()  # it can still be read when the forks are gone


def test_tasks_are_done_by_the_member_that_they_are_for():
    model = GPT(SHAPE)
    for kind in KINDS:
        with workers_of(kind, 3, model, model.init(seed=0)) as made:
            assert made.together([Part(12), Part(13)]) == [(0, False), (13, kind is Processes)]
            assert made.alone(Part(7)) == (0, False)
            size = made.trained.params.flat.size
            assert [one.slice for one in made.members] == [(size * i // 3, size * (i + 1) // 3) for i in range(3)]
            with pytest.raises(UserError, match="of 1"):
                made.together([Part(3), Part(-1), Part(-1)])
            assert len(made.together([Part(3)] * 3)) == 3  # and the next question gets its own answer


class Part(NamedTuple):
    """A task that says which part it was, and whether another process did it."""

    size: int

    def __call__(self, member):
        if self.size < 0:
            raise UserError(f"the fault of {member.number}")
        return member.number * self.size, os.getpid() != PARENT


PARENT = os.getpid()


def test_what_is_wrong_with_a_part_of_the_batch_is_said_whoever_had_it():
    model = GPT(SHAPE)
    params = model.init(seed=0)
    good, bad = (np.full((4, 16), token) for token in (7, 7))
    bad[3, 5] = 99  # in the last row, which is a fork's
    with workers_of(Processes, 2, model, params) as made:
        with pytest.raises(ValueError, match="99 is outside the vocabulary"):
            made.loss_and_grads([Batch(bad, good)], seed=0, step=0)
        loss, _ = made.loss_and_grads([Batch(good, good)], seed=0, step=0)
        assert np.isfinite(loss)  # and the next question gets its own answer


def test_another_model_with_the_same_parameters_is_another_model():
    """Two steppers side by side, in processes, on the same parameters: each has its own model."""
    batch = Batch(*np.random.default_rng(0).integers(0, 50, (2, 4, 16)))
    params, losses = GPT(SHAPE).init(seed=0), {}
    other = GPT(dataclasses.replace(SHAPE, dropout=0.0))
    for kind in (Threads, Processes):
        with workers_of(kind, 2, GPT(SHAPE), params) as first, workers_of(kind, 2, other, params) as second:
            losses[kind] = [one.loss_and_grads([batch], seed=0, step=0)[0] for one in (first, second)]
    assert losses[Processes] == losses[Threads] and len(set(losses[Threads])) == 2


def test_two_models_can_be_trained_side_by_side():
    model, other = GPT(SHAPE), GPT(GPTConfig(vocab_size=50, context=16, layers=1, heads=2, width=32))
    params, others = model.init(seed=0), other.init(seed=0)
    batch = Batch(*np.random.default_rng(0).integers(0, 50, (2, 4, 16)))
    with workers_of(Threads, 2, other, others) as made:
        expected, _ = made.loss_and_grads([batch], seed=0, step=0)
    with workers_of(Processes, 2, model, params), workers_of(Processes, 2, other, others) as made:
        loss, _ = made.loss_and_grads([batch], seed=0, step=0)
        assert loss == expected and made.norm() > 0


def test_a_fork_that_is_killed_ends_the_step_in_a_sentence():
    forks = Forks([lambda message: os.getpid() if message == "who" else 0] * 2)
    first, second = forks.together(["who", "who"], lambda: 0)[1:]
    assert len({first, second, os.getpid()}) == 3
    os.kill(second, signal.SIGKILL)
    with pytest.raises(UserError, match="ended from outside"):
        forks.together(["", ""], lambda: 0)
    forks.close()
    assert not alive(first)


def test_forks_answer_in_order_and_share_what_was_made_for_it():
    shared, private = shared_zeros(np.empty((2, 3), np.float32)), np.zeros(3)
    copy = shared_copy(np.arange(3.0))

    def answer(number, message):
        shared[number - 1, message] = private[message] = 10 * number
        return number, copy.sum()

    forks = Forks([partial(answer, 1), partial(answer, 2)])
    assert forks.together([0, 2], lambda: "mine") == ["mine", (1, 3.0), (2, 3.0)]
    forks.close()
    np.testing.assert_array_equal(shared, [[10, 0, 0], [0, 0, 20]])
    assert not private.any() and shared.dtype == np.float32


def test_no_answer_is_left_over_when_something_fails():
    forks = Forks([lambda message: message] * 2)
    with pytest.raises(ZeroDivisionError):
        forks.together(["old", "old"], lambda: 1 / 0)
    assert forks.together(["new", "new"], lambda: None) == [None, "new", "new"]
    with pytest.raises((pickle.PicklingError, AttributeError)):
        forks.together(["old", lambda: 0], lambda: None)
    assert forks.together([1, 2], lambda: None) == [None, 1, 2]
    forks.close()


class Demanding(Exception):
    """Cannot be made again from what it keeps."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


def fail(message):
    raise Demanding("this", "that") if message == "demanding" else UserError("in a sentence")


def test_errors_of_forks_arrive():
    forks = Forks([fail])
    with pytest.raises(UserError, match="in a sentence") as caught:
        forks.together([""], lambda: None)
    assert "in fork 1" in caught.value.__notes__[0] and "def fail" not in str(caught.value)
    with pytest.raises(RuntimeError, match="Demanding: this and that"):
        forks.together(["demanding"], lambda: None)
    forks.close()


def test_forks_of_forks_ends_do_not_keep_each_other_alive():
    first = Forks([lambda message: os.getpid()])
    second = Forks([lambda message: os.getpid()])  # holds copies of the first's pipes
    pids = [forks.together([0], lambda: 0)[1] for forks in (first, second)]
    first.close()
    assert not alive(pids[0]) and alive(pids[1])
    second.close()
    second.close()
    assert not alive(pids[1])


SCRIPT = """
import os, sys
from minigpt.train.forks import Forks
forks = Forks([lambda message: os.getpid()] * 2)
for line in sys.stdin:
    print(*forks.together([0, 0], lambda: "")[1:], flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_forks_do_not_outlive_the_process_that_made_them(how):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], **pipes, text=True)

    def answers():
        process.stdin.write("again\n")
        process.stdin.flush()
        return [int(pid) for pid in process.stdout.readline().split()]

    forks = answers()
    assert len(forks) == 2 and all(map(alive, forks))
    for name in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C and `timeout` reach all; only the first process decides
        os.kill(forks[0], name)
    assert answers() == forks
    process.send_signal(how)
    # The forks hold copies of the pipe: it ends when the last of them has ended, and they do so without a word.
    assert process.communicate(timeout=600) == ("", "")


@pytest.mark.parametrize(
    "processes, emulate, forked", [("true", "false", 1), ("false", "false", 0), ("true", "true", 0)]
)
def test_a_training_run_forks_unless_it_may_not(processes, emulate, forked, tmp_path, monkeypatch):
    (tmp_path / "text").write_text("the cat sat on the mat. " * 60)
    made, init = [], Processes.__init__
    monkeypatch.setattr(Processes, "__init__", lambda self, *args: (init(self, *args), made.append(self))[0])
    runs.train(tmp_path / "text", tmp_path / "run", 1, train__processes=processes, train__emulate=emulate)
    assert len(made) == forked


def test_a_run_is_the_same_in_processes_and_in_threads(tmp_path):
    (tmp_path / "text").write_text("the cat sat on the mat. " * 60)
    found = {}
    for processes in ("true", "false"):
        assert runs.train(tmp_path / "text", tmp_path / processes, train__processes=processes) == 0
        found[processes] = runs.contents(tmp_path / processes, step=20)
    assert found["true"] == found["false"]


def test_what_forks_use_is_counted():
    held = []

    def work(message):
        held.append(np.ones(6_000_000))  # 48 MB
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass

    own, children, peak, used = own_seconds(), children_seconds(), peak_megabytes(), time.process_time()
    forks = Forks([work])
    forks.together([0], lambda: None)
    own, used = own_seconds() - own, time.process_time() - used
    assert children_seconds() - children > 0.25 and abs(own - used) < 0.05  # forking a large process takes time, too
    assert peak_megabytes() - peak > 45
    forks.close()


def test_a_daemonic_process_makes_none(monkeypatch):
    assert can_fork()
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    assert not can_fork()


def alive(pid):
    """Whether the process runs (a zombie that nobody has asked about does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
