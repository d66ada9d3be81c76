"""Failures and checkpoints: what part of the time moves a run on.

With one failure in M seconds (of N ranks that each fail once in m: M = m/N), checkpoints that take δ after every τ
seconds of work, and R seconds from a failure to the first new step, goodput is work/time. Too few checkpoints lose
work, too many cost time: in between, Young (1974) has τ = √(2 δ M), which Daly (2006, equation 37) corrects for
small M.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple


class Failures(NamedTuple):
    """Seconds: between failures (of the whole job), of writing a checkpoint, of coming back."""

    between: float
    checkpoint: float
    restart: float


def young(f: Failures) -> float:
    return math.sqrt(2 * f.checkpoint * f.between)


def daly(f: Failures) -> float:
    """τ = √(2δM) (1 + √(δ/2M)/3 + (δ/2M)/9) − δ for δ < 2M, else M."""
    ratio = f.checkpoint / (2 * f.between)
    if ratio >= 1:
        return f.between
    return young(f) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - f.checkpoint


def expected(f: Failures, every: float) -> float:
    """Goodput on paper, with failures at any time, also in checkpoints and restarts (Daly 2006, equation 20).

    A stretch of τ + δ seconds without a failure takes M e^{R/M} (e^{(τ+δ)/M} − 1) seconds on average, and gains τ.
    """
    return every / (f.between * math.exp(f.restart / f.between) * math.expm1((every + f.checkpoint) / f.between))


def simulated(f: Failures, every: float, *, stretches: int = 1000, seed: int = 0) -> float:
    """Goodput of a run of so many checkpoints, in which failures happen as they happen (Poisson's process).

    Events: a stretch of work and its checkpoint is complete, or a failure comes first. A failure takes back the work
    since the last complete checkpoint and starts the restart, which another failure starts again.
    """
    draw = random.Random(seed)
    now, failure = 0.0, draw.expovariate(1 / f.between)
    for _ in range(stretches):
        begin = now
        while failure < begin + every + f.checkpoint:
            begin = failure + f.restart
            now, failure = failure, failure + draw.expovariate(1 / f.between)
        now = begin + every + f.checkpoint
    return stretches * every / now
