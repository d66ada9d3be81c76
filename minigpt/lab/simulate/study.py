"""What is simulated of a plan: one step, efficiency against ranks, and goodput."""

from __future__ import annotations

from typing import NamedTuple

from minigpt.core.errors import UserError
from minigpt.lab.plan.estimate import Plan
from minigpt.lab.plan.layout import USABLE, Split, best_layout, memory
from minigpt.lab.simulate.cluster import Cluster, Machine, job_of, machine, useful_seconds
from minigpt.lab.simulate.goodput import Failures, daly, expected, simulated
from minigpt.lab.simulate.step import Job, Played, play

MOST = 4096  # ranks
ZERO = 1  # the highest of ZeRO's stages that steps are simulated with


class Point(NamedTuple):
    """A step on so many ranks. efficiency: useful arithmetic at the ranks' speed, over what the step takes."""

    ranks: int
    split: Split
    seconds: float
    efficiency: float


class Study(NamedTuple):
    """Attributes:
    point, job, played: the step on the ranks asked for. exposed: the same with nothing overlapped, in seconds.
    weak, strong: points with as many rows on each rank, and with as many rows in all.
    every: seconds of work between checkpoints. goodput: simulated; on_paper: Daly's.
    """

    machine: Machine
    point: Point
    job: Job
    played: Played
    exposed: float
    weak: list[Point]
    strong: list[Point]
    failures: Failures
    every: float
    goodput: float
    on_paper: float


def study(plan: Plan, ranks: int, cluster: Cluster) -> Study:
    """Simulate.

    Raises:
        UserError: there are too many ranks, or no layout over them that fits.
    """
    if ranks > MOST:
        raise UserError(f"--simulate {ranks}: at most {MOST} ranks are simulated")
    m = machine(plan.gpu, cluster, plan.precision, plan.mfu)
    split = _split(plan, m, ranks)
    if split is None:
        hint = f"; {plan.fits_on} are enough" if (plan.fits_on or 0) > ranks else ""
        raise UserError(
            f"no layout of {plan.name} over {ranks} ranks fits that uses them all, with {plan.rows} rows in a step and "
            f"up to ZeRO's stage {ZERO}{hint}"
        )
    job = job_of(plan.workload, split, m)
    played = play(job)
    failures = Failures(cluster.failure_hours * 3600 / ranks, cluster.checkpoint, cluster.restart)
    every = cluster.checkpoint_every or daly(failures)
    return Study(
        m,
        point(plan, split, m, played.seconds),
        job,
        played,
        play(job._replace(overlap=False)).seconds,
        [point(plan, each, m) for each in weak_splits(plan, m, split)],
        [point(plan, each, m) for each in strong_splits(plan, m)],
        failures,
        every,
        simulated(failures, every, seed=cluster.seed),
        expected(failures, every),
    )


def point(plan: Plan, split: Split, m: Machine, seconds: float = 0.0) -> Point:
    """The step of a split, simulated unless its seconds are known."""
    seconds = seconds or play(job_of(plan.workload, split, m)).seconds
    ranks, rows = split.data * split.tensor * split.pipeline, split.data * split.micro_rows * split.micro_batches
    return Point(ranks, split, seconds, rows * useful_seconds(plan.workload, m) / (ranks * seconds))


def _split(plan: Plan, m: Machine, ranks: int) -> Split | None:
    """The layout of the highest ceiling among those that can be simulated, and are asked for."""
    c = m.cluster

    def only(split: Split) -> bool:
        asked = split.tensor == (c.tensor or split.tensor) and split.pipeline == (c.pipeline or split.pipeline)
        chunks = c.chunks if split.pipeline > 1 else 1
        whole = plan.workload.layers % (split.pipeline * chunks) == 0 and (
            chunks == 1 or split.micro_batches % split.pipeline == 0
        )
        return asked and whole and split.zero <= ZERO

    layout = best_layout(plan.workload, m.gpu, ranks, plan.rows, plan.precision, only)
    return layout and layout.split


def weak_splits(plan: Plan, m: Machine, split: Split) -> list[Split]:
    """The same replica, once, twice, four times … up to MOST ranks, where it fits (ZeRO needs several)."""
    w, replica = plan.workload, split.tensor * split.pipeline
    counts = [1 << power for power in range(MOST.bit_length()) if replica << power <= MOST]
    splits = [split._replace(data=count, zero=split.zero if count > 1 else 0) for count in counts]
    return [s for s in splits if sum(memory(w, s, plan.precision).values()) <= USABLE * m.gpu.memory]


def strong_splits(plan: Plan, m: Machine) -> list[Split]:
    """The best layout over each power of two of ranks that all rows of the plan can use."""
    found = (_split(plan, m, 1 << power) for power in range(MOST.bit_length()))
    return [split for split in found if split]
