"""Timing several programs against each other on a machine that is shared and noisy.

Every contestant lives in a process of its own for the whole contest, warmed up once. They run in turn, a slot each per
round, so that a machine that speeds up or slows down does so for all of them; only ratios within a round are compared.
A round in which other processes (or the host) took processor time is dropped and counted. Where others never rest, the
clock can be processor time ("cpu"): no round is dropped, and what waits for a core costs nothing.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from minigpt.core.errors import UserError
from minigpt.lab.benchmark.machine import busy_seconds, children_seconds, own_seconds, peak_megabytes, process_seconds

_SLOT = 0.3  # seconds that a slot should last, so that the clock of processor time (10 ms) says something
_OTHERS = 0.06  # the share of all cores that others may take in a slot before its round is dropped
CLOCKS = ("wall", "cpu")
_QUIET = 0.02  # seconds without processor time after which the others are taken to be idle


class Contestant(NamedTuple):
    """What is timed: `factory(*arguments)` is called in the contestant's process and returns one repetition.

    A factory must be a module's function, since another process imports it.
    """

    factory: Callable[..., Callable[[], object]]
    arguments: tuple[Any, ...]
    warm_up: int = 3


class Slot(NamedTuple):
    """One contestant's turn."""

    seconds: float  # per repetition, by the contest's clock
    disturbed: bool


class Interval(NamedTuple):
    """A median and the 95% confidence interval of the population's median (order statistics, no distribution)."""

    median: float
    low: float
    high: float


class Outcome(NamedTuple):
    """The rounds that count, how many were dropped, and the memory of each contestant."""

    rounds: list[dict[str, float]]  # seconds per repetition
    dropped: int
    peak_megabytes: dict[str, float | None]

    def seconds(self, name: str) -> Interval:
        return interval([r[name] for r in self.rounds])

    def ratio(self, name: str, other: str) -> Interval:
        return interval([r[name] / r[other] for r in self.rounds])


def interval(values: Sequence[float]) -> Interval:
    """Median and its 95% interval: the k-th smallest and largest with P(Binomial(n, ½) < k) ≤ 2.5%."""
    ordered, n = sorted(values), len(values)
    k, below = 0, 0.0
    while True:
        below += math.comb(n, k) / 2**n
        if below > 0.025:
            break
        k += 1
    k = max(k, 1)
    return Interval(statistics.median(ordered), ordered[k - 1], ordered[n - k])


def _serve(connection: Any, contestant: Contestant) -> None:
    """A contestant's process: build, warm up, then run as many repetitions as asked for."""
    try:
        function = contestant.factory(*contestant.arguments)
        for _ in range(contestant.warm_up):
            function()
    except Exception as error:  # whatever it is, the contest must hear of it
        connection.send(f"{type(error).__name__}: {error}")
        return
    with contextlib.suppress(EOFError, BrokenPipeError):  # the contest was killed
        connection.send(None)
        while repetitions := connection.recv():
            used, started = time.process_time() + children_seconds(), time.perf_counter()
            for _ in range(repetitions):
                function()
            wall = time.perf_counter() - started
            connection.send((wall, time.process_time() + children_seconds() - used))
        connection.send(peak_megabytes())


def _compute(contest: int) -> None:
    """Use a core as long as the process of the contest lives, which may be killed."""
    while os.getppid() == contest:
        for _ in range(10**6):
            pass


class _Busy:
    """Processes that compute all the time, each on a core if there is one."""

    def __init__(self, count: int):
        context = multiprocessing.get_context("spawn")
        self.processes = [context.Process(target=_compute, args=(os.getpid(),), daemon=True) for _ in range(count)]
        for process in self.processes:
            process.start()

    def seconds(self) -> float:
        return sum(map(process_seconds, self.processes))

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()


class _Player:
    """The contest's end of a contestant's process."""

    def __init__(self, name: str, contestant: Contestant, environment: Mapping[str, str]):
        context = multiprocessing.get_context("spawn")
        self.name = name
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, contestant))
        before = {key: os.environ.get(key) for key in environment}
        os.environ.update(environment)
        try:
            self.process.start()
        finally:
            for key, value in before.items():
                os.environ.pop(key) if value is None else os.environ.update({key: value})
        theirs.close()
        try:
            problem = self.receive()
        except BaseException:
            self.process.kill()
            raise
        if problem is not None:
            raise UserError(f"{name} cannot be timed: {problem}")
        self.repetitions = 1

    def receive(self) -> Any:
        try:
            return self.connection.recv()
        except EOFError:
            raise UserError(f"timing {self.name} ended early; is there enough memory for it?") from None

    def slot(self, clock: str, busy: _Busy) -> Slot:
        if clock == "wall":
            _wait_until_idle()
        before, mine, theirs = busy_seconds(), own_seconds(), busy.seconds()
        started = time.perf_counter()
        self.connection.send(self.repetitions)
        seconds, used = self.receive()
        wall = time.perf_counter() - started
        if clock == "cpu":
            return Slot(used / self.repetitions, False)
        disturbed = False
        if before is not None:
            expected = used + (own_seconds() - mine) + (busy.seconds() - theirs)
            others = busy_seconds() - before - expected
            disturbed = others > _OTHERS * wall * (os.cpu_count() or 1) + 0.02
        return Slot(seconds / self.repetitions, disturbed)

    def stop(self) -> float | None:
        self.connection.send(0)
        peak = self.receive()
        self.process.join()
        return peak


def _wait_until_idle(limit: float = 0.5) -> None:
    """Let the previous contestant's threads stop spinning (OpenMP and BLAS wait in a loop for a while)."""
    deadline = time.perf_counter() + limit
    while time.perf_counter() < deadline:
        before = busy_seconds()
        time.sleep(2 * _QUIET)
        if before is None or busy_seconds() - before <= _QUIET / 2:
            return


def contest(
    contestants: Mapping[str, Contestant],
    *,
    rounds: int,
    environment: Mapping[str, Mapping[str, str]] | None = None,
    clock: str = "wall",
    busy: int = 0,
    progress: Callable[[], object] = lambda: None,
) -> Outcome:
    """Time all contestants in `rounds` undisturbed rounds (or what there was of them in three times as many).

    Args:
        environment: environment variables that a contestant's process starts with, by its name.
        clock: "wall" or "cpu".
        busy: processes that compute beside all contestants, all the time. They are not taken for a disturbance.
    Raises:
        UserError: a contestant cannot be built (a package is missing, too little memory).
    """
    players: list[_Player] = []
    load = _Busy(busy)
    try:
        for name, contestant in contestants.items():
            players.append(_Player(name, contestant, (environment or {}).get(name, {})))
        for player in players:
            player.repetitions = max(1, math.ceil(_SLOT / max(player.slot(clock, load).seconds, 1e-4)))
        clean, dropped = [], []
        while len(clean) < rounds and len(clean) + len(dropped) < 3 * rounds:
            shift = (len(clean) + len(dropped)) % len(players)
            slots = {player.name: player.slot(clock, load) for player in players[shift:] + players[:shift]}
            disturbed = any(slot.disturbed for slot in slots.values())
            (dropped if disturbed else clean).append({name: slot.seconds for name, slot in slots.items()})
            if not disturbed:
                progress()
        peaks = {player.name: player.stop() for player in players}
    finally:
        load.stop()
        for player in players:
            player.process.kill()
    if len(clean) < min(rounds, 3):
        total = len(clean) + len(dropped)
        raise UserError(f"the machine is too busy to time anything: {len(dropped)} of {total} rounds were disturbed")
    return Outcome(clean, len(dropped), peaks)
