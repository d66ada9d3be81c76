"""`minigpt bench`: contests between processes, what they say, and mistakes."""

import itertools
import json
import math
import multiprocessing
import os
import time

import pytest

from minigpt.blocks import dispatch
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.lab.benchmark import conditions, scaling
from minigpt.lab.benchmark import contest as contests
from minigpt.lab.benchmark.conditions import processor
from minigpt.lab.benchmark.contest import Contestant, Outcome, contest, interval
from minigpt.lab.benchmark.decode import weight_bytes
from minigpt.lab.benchmark.shapes import LLAMAS, SHAPES
from minigpt.models import Llama


@pytest.fixture(name="undisturbed")
def never_disturbed(monkeypatch):
    """The machine that runs the tests may be as busy as it likes."""
    monkeypatch.setattr(contests, "busy_seconds", lambda: None)
    monkeypatch.setattr(contests, "_SLOT", 0.01)


@pytest.fixture(name="minigpt")
def command_line(capsys):
    """Run a command that must succeed, and return what it prints on stdout."""

    def run(*arguments):
        capsys.readouterr()
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as exit:  # --help
            status = exit.code
        assert status == 0
        return capsys.readouterr().out

    return run


def summer(numbers):
    return lambda: sum(range(numbers))


def sleeper():
    return lambda: time.sleep(0.05)


def impossible():
    raise ImportError("no such package")


def test_the_interval_of_a_median_comes_from_order_statistics():
    assert interval(range(1, 21)) == (10.5, 6, 15)  # P(Binomial(20, 1/2) < 6) = 2.07%
    assert interval([3.0]) == (3.0, 3.0, 3.0)
    assert interval([2.0, 1.0, 4.0]) == (2.0, 1.0, 4.0)


def test_what_a_killed_contest_started_ends():
    ours, theirs = multiprocessing.Pipe()
    ours.close()
    contests._serve(theirs, Contestant(summer, (2,)))
    contests._compute(os.getpid())  # this process's parent is another one


@pytest.mark.slow("test_step_for_people: contests between two")
def test_every_contestant_has_a_slot_in_every_round(undisturbed):
    done = []
    contestants = {"a": Contestant(summer, (2000,)), "b": Contestant(summer, (1000,))}
    outcome = contest(contestants, rounds=4, progress=lambda: done.append(1))
    assert len(outcome.rounds) == len(done) == 4 and outcome.dropped == 0
    assert all(r.keys() == {"a", "b"} and min(r.values()) > 0 for r in outcome.rounds)
    assert outcome.peak_megabytes.keys() == {"a", "b"}


def test_ratios_are_those_of_each_round():
    """A machine that slows down for all does not change them."""
    outcome = Outcome([{"a": 2.0 * s, "b": 1.0 * s} for s in (1, 3, 10)], dropped=0, peak_megabytes={})
    assert outcome.ratio("a", "b") == (2.0, 2.0, 2.0)
    assert outcome.seconds("a") == (6.0, 2.0, 20.0)


@pytest.mark.slow("test_mistakes_are_one_sentence")
def test_a_contestant_that_cannot_be_built_is_named(undisturbed):
    with pytest.raises(UserError, match="x cannot be timed: ImportError: no such package"):
        contest({"x": Contestant(impossible, ())}, rounds=1)


@pytest.mark.slow("test_step_for_people: rounds that count")
def test_disturbed_rounds_do_not_count(monkeypatch):
    """Processor time that nobody here used: every slot looks as if another process had worked through it."""
    busy = itertools.count(0, 1000)
    monkeypatch.setattr(contests, "busy_seconds", lambda: next(busy))
    monkeypatch.setattr(contests, "_wait_until_idle", lambda: None)
    with pytest.raises(UserError, match="the machine is too busy to time anything: 6 of 6 rounds were disturbed"):
        contest({"a": Contestant(summer, (1000,))}, rounds=2)


@pytest.mark.slow("test_step_for_people, and the contests of toys")
def test_step_against_variants_of_itself(minigpt, undisturbed):
    against = {"threads", "recompute", "kept"}
    out = minigpt("bench", "step", "--shape", "S", "--repeats", 9, "--against", ",".join(against), "--json")
    result = json.loads(out)["shapes"]["S"]
    assert result["rounds"] == 9  # a median of so many outlives a busy moment
    assert result["ratio"].keys() == {"gemm", *against} and result["ratio"]["gemm"] > 1
    assert result["memory_ratio"].keys() == against
    assert math.isclose(result["tokens_per_second"], 12 * 64 / result["ms"] * 1e3)


def test_step_for_people(minigpt, undisturbed, monkeypatch):
    monkeypatch.setattr(conditions, "BYTES", 1 << 20)
    out = minigpt("bench", "step", "--shape", "S", "--repeats", 1)
    assert "tokens/s" in out and "its own matrix products" in out and "kernels" in out and "GFLOP/s" in out


@pytest.mark.slow("test_step_for_people: the whole step")
def test_where_the_time_of_a_step_goes(minigpt, undisturbed):
    assert "x its own matrix products" not in minigpt("bench", "step", "--help")
    out = minigpt("bench", "step", "--shape", "S", "--repeats", 2, "--profile")
    assert "linear_backward" in out and "AdamW" in out and "everything else" in out
    parts = json.loads(minigpt("bench", "step", "--shape", "S", "--repeats", 2, "--profile", "--json"))
    assert all(ms >= 0 for name, ms in parts["shapes"]["S"].items() if name != "everything else")


@pytest.mark.slow("test_step_for_people: the other contest")
def test_decoding_against_the_weights_bytes(minigpt, undisturbed):
    out = minigpt("bench", "decode", "--shape", "S", "--repeats", 1, "--json", "--against", "int8")
    result = json.loads(out)["shapes"]["S"]
    assert result["ratio"].keys() == {"limit", "int8"}
    assert math.isclose(result["of_limit"], 1 / result["ratio"]["limit"])
    assert "of what reading the weights allows" in minigpt("bench", "decode", "--shape", "S", "--repeats", 1)
    assert weight_bytes(SHAPES["L"]._replace(context=1024)) == 4 * (124_439_808 - 1024 * 768)


@pytest.mark.slow("test_step_for_people: the other contest")
def test_reading_a_prompt(minigpt, undisturbed):
    out = minigpt("bench", "decode", "--prompt", "--shape", "S", "--repeats", 1, "--json")
    result = json.loads(out)["shapes"]["S"]
    assert result["ms"] > 0 and math.isclose(result["tokens_per_second"], 512 / result["ms"] * 1e3)
    assert "reading a prompt of 512 tokens" in minigpt("bench", "decode", "--prompt", "--shape", "S", "--repeats", 1)


@pytest.mark.slow("test_step_for_people: one shape")
def test_scaling_makes_a_table_and_a_plot(minigpt, error, undisturbed, monkeypatch, tmp_path):
    monkeypatch.setattr(scaling, "BASE", scaling.BASE._replace(layers=1, width=64, context=16, batch=2))
    monkeypatch.setitem(scaling.AXES, "context", (8, 16))
    for axis in ("width", "layers", "batch"):
        monkeypatch.delitem(scaling.AXES, axis)
    out = minigpt("bench", "scaling", "--repeats", 1, "--out", tmp_path / "plot.png")
    rungs = ["fast"] if dispatch.numba_problem() else ["fast", "compiled"]
    found = [line.split()[:3] for line in out.splitlines() if "µs per token" in line]
    assert found == [["context", value, rung] for value in ("8", "16") for rung in rungs]
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "exists; give another --out" in error("bench", "scaling", "--out", tmp_path / "plot.png")


def test_mistakes_are_one_sentence(error):
    assert "cannot compare with 'jax'" in error("bench", "step", "--against", "jax")
    assert "decoding is compared with torch and int8 only" in error("bench", "decode", "--against", "kept")
    assert "is below 1" in error("bench", "step", "--repeats", 0)
    assert "reading a prompt only" in error("bench", "decode", "--shape", "SmolLM")


def test_a_processor_is_named_with_its_model(tmp_path):
    """Two cores of one machine; what a virtual machine calls "AMD EPYC" is told apart by its numbers."""
    one = "processor\t: {}\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nflags\t\t: fpu vme\n\n"
    (tmp_path / "cpuinfo").write_text(one.format(0) + one.format(1))
    assert processor(tmp_path / "cpuinfo") == "AMD EPYC (family 25, model 17)"
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nBogoMIPS\t: 50.00\n")
    assert processor(tmp_path / "cpuinfo") not in ("", "0")


@pytest.mark.slow("test_step_for_people: its first line")
def test_the_machine_is_measured(minigpt):
    values = json.loads(minigpt("bench", "machine", "--repeats", 1, "--json"))
    median, low, high = values["gflops"]
    assert 0.1 < low <= median <= high < 10_000 and 0.1 < values["gigabytes"][0] < 10_000
    assert "kernels" in values["blas"] and values["cores"] >= 1


@pytest.mark.slow("test_step_for_people: a contest by the wall clock")
def test_a_contest_by_processor_time_drops_nothing(monkeypatch):
    """Others take every core all the time, and a contestant that sleeps costs nothing."""
    busy = itertools.count(0, 1000)
    monkeypatch.setattr(contests, "busy_seconds", lambda: next(busy))
    monkeypatch.setattr(contests, "_SLOT", 0.0)
    outcome = contest({"a": Contestant(sleeper, (), warm_up=0)}, rounds=1, clock="cpu")
    assert outcome.dropped == 0 and outcome.seconds("a").median < 0.02


@pytest.mark.slow("test_disturbed_rounds_do_not_count: whose processor time it is that others used")
def test_a_busy_process_is_no_disturbance(monkeypatch):
    """All that others used is the busy process's, which computes, and is gone in the end."""
    busy, theirs, seen = itertools.count(0, 1000), itertools.count(0, 1000), []
    monkeypatch.setattr(contests, "busy_seconds", lambda: next(busy))
    monkeypatch.setattr(contests, "process_seconds", lambda process: seen.append(process) or next(theirs))
    monkeypatch.setattr(contests, "_wait_until_idle", lambda: None)
    monkeypatch.setattr(contests, "_SLOT", 0.01)
    outcome = contest({"a": Contestant(summer, (1000,))}, rounds=1, busy=1)
    assert outcome.dropped == 0 and len(outcome.rounds) == 1
    assert len(set(seen)) == 1 and not seen[0].is_alive() and seen[0].exitcode == -9


def test_the_llama_whose_reading_is_timed_has_smollm_s_size():
    assert Llama(LLAMAS["SmolLM"]).parameter_count == 134_515_008  # of HuggingFaceTB/SmolLM-135M
