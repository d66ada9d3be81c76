"""Inputs in processes with limits: what they end with, how long they take, and what each failure looks like.

The system itself ends a process that hangs (its timer counts CPU time, also within C code) or that asks for too much
memory; the next one goes on behind that input.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import minigpt

from .formats import LONGEST_SENTENCE, Bench, Damaged, drawn

SECONDS, MEGABYTES = 2.0, 512  # per input: CPU time, and memory beyond what a process has before the first
REAL_SECONDS = 60.0  # an input that waits for something: a pipe, a lock
CHUNK = 5000  # inputs that one process tries, at most
FULL = 4  # the status of one that has no memory left to make the next input with
_STATE = struct.Struct("<qqqd")  # the input that is tried, accepted, refused, the longest time
_PACKAGE = str(Path(minigpt.__file__).parent)


@dataclass
class Outcome:
    """What became of the inputs of one format."""

    name: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    failures: dict[str, list[str]] = field(
        default_factory=dict
    )  # a class of failures -> the files that keep its inputs
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, *kinds: str) -> int:
        return sum(n for kind, n in self.counts.items() if kind.split(":")[0] in kinds)


def run(name: str, inputs: range, seed: int, keep: Path) -> Outcome:
    """Try the inputs of a format, in one process after the other."""
    outcome = Outcome(name)
    before = time.process_time() + resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    at = inputs.start
    while at < inputs.stop:
        at = _chunk(outcome, range(at, min(at + CHUNK, inputs.stop)), seed, keep)
    outcome.seconds = time.process_time() + resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    return outcome


def _chunk(outcome: Outcome, inputs: range, seed: int, keep: Path) -> int:
    """One process; returns which input comes next."""
    shared = mmap.mmap(-1, _STATE.size)
    shared[:] = _STATE.pack(inputs.start, 0, 0, 0.0)
    reading, writing = os.pipe()
    sys.stdout.flush(), sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 3
        try:
            os.close(reading)
            status = _child(outcome.name, inputs, seed, shared, writing)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, encoding="utf-8") as reports:
        for line in reports:
            number, kind, file = json.loads(line)
            _failed(outcome, kind, seed, number, keep, file)
    _, status = os.waitpid(child, 0)
    tried, accepted, refused, slowest = _STATE.unpack(shared[:])
    outcome.accepted, outcome.refused = outcome.accepted + accepted, outcome.refused + refused
    outcome.slowest = max(outcome.slowest, slowest)
    if status == 0:
        outcome.inputs += len(inputs)
        return inputs.stop
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == FULL and tried > inputs.start:
        outcome.inputs += tried - inputs.start
        return tried
    if not os.WIFSIGNALED(status):
        raise RuntimeError(f"{outcome.name}: a worker ended with status {status}")
    end = os.WTERMSIG(status)
    hung = {signal.SIGPROF: "hang", signal.SIGALRM: "hang: waits"}
    _failed(outcome, hung.get(end, f"crash: signal {end}"), seed, tried, keep, "")
    outcome.inputs += tried + 1 - inputs.start
    outcome.slowest = SECONDS if end == signal.SIGPROF else outcome.slowest
    return tried + 1


def _child(name: str, inputs: range, seed: int, shared: mmap.mmap, reports: int) -> int:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    accepted = refused = 0
    slowest = 0.0
    try:
        bench = Bench(name, folder)
        _limit_memory()
        for number in inputs:
            shared[:] = _STATE.pack(number, accepted, refused, slowest)
            try:
                damaged = bench.damaged(drawn(name, seed, number))
            except MemoryError:  # ours, with what earlier inputs left in caches: a new process makes it
                return FULL
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.setitimer(signal.ITIMER_REAL, REAL_SECONDS)
            started = time.process_time()
            kind = tried(bench, damaged)
            slowest = max(slowest, time.process_time() - started)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            accepted, refused = accepted + (kind == "accepted"), refused + (kind == "refused")
            if kind not in ("accepted", "refused"):
                os.write(reports, (json.dumps([number, kind, damaged.file]) + "\n").encode())
        shared[:] = _STATE.pack(inputs.stop, accepted, refused, slowest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + (MEGABYTES << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def tried(bench: Bench, damaged: Damaged) -> str:
    """What an input ends with: "accepted", "refused", or the class of its failure."""
    try:
        refused = bench.use(damaged)
    except MemoryError as error:
        return f"memory: {place(error)}"
    except Exception as error:
        return f"traceback: {type(error).__name__} in {place(error)}"
    if refused is None:
        return "accepted"
    if not str(refused).strip() or len(str(refused)) > LONGEST_SENTENCE:
        return f"sentence: {len(str(refused))} characters in {place(refused)}"
    return "refused"


def place(error: BaseException) -> str:
    """Where in the package an error came up: the module and the function."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(_PACKAGE)]
    if not frames:
        return "no module of ours"
    return f"{frames[-1].filename.removeprefix(_PACKAGE + '/')}:{frames[-1].name}"


def _failed(outcome: Outcome, kind: str, seed: int, number: int, keep: Path, file: str) -> None:
    """Note a failure, and keep the inputs of the first few of its class."""
    kept = outcome.failures.setdefault(kind, [])
    outcome.counts[kind] = outcome.counts.get(kind, 0) + 1
    if len(kept) >= 3:
        return
    with tempfile.TemporaryDirectory() as folder:
        damaged = Bench(outcome.name, Path(folder)).damaged(drawn(outcome.name, seed, number))
    path = keep / outcome.name / f"{seed}-{number}" / damaged.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(damaged.data)
    kept.append(str(path))


def many(names: list[str], inputs: range, seed: int, keep: Path, processes: int) -> Iterator[Outcome]:
    """The formats, several side by side, each as it is done."""
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(processes, maxtasksperchild=1) as pool:
        tasks = [pool.apply_async(run, (name, inputs, seed, keep)) for name in names]
        for task in tasks:
            yield task.get()
