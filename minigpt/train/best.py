"""Which checkpoint of a run is its best, as its log says: by what was measured on the validation data.

Nothing else is kept about it. The log is cut back to a checkpoint when a run resumes, so it never speaks of a step that
did not happen, and a run that resumes judges as one that never stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from minigpt.train.checkpoint import FOLDER, latest_checkpoint
from minigpt.train.log import read_log


class Best(NamedTuple):
    """The best evaluation so far: its step, its value, and how many evaluations came after it."""

    step: int
    value: float
    since: int


def best_so_far(run: Path, measure: str) -> Best | None:
    """The first evaluation that no other one beats; None before the first.

    Args:
        measure: which of the log's val_… counts; of a "loss" or "perplexity" the smallest is the best, of anything else
            the largest.
    """
    name = f"val_{measure}"
    seen = {line["step"]: line[name] for line in read_log(run) if isinstance(line.get(name), (int, float))}
    if not seen:
        return None
    sign = -1.0 if measure in ("loss", "perplexity") else 1.0
    steps = sorted(seen)
    best = max(steps, key=lambda step: (sign * seen[step], -step))
    return Best(best, seen[best], len(steps) - 1 - steps.index(best))


def chosen_checkpoint(run: Path, measure: str) -> Path:
    """The checkpoint that a run is opened at: its best by `measure`; its newest if that is "" or was never logged."""
    best = best_so_far(run, measure) if measure else None
    path = None if best is None else run / FOLDER / f"step-{best.step}"
    return path if path is not None and path.is_dir() else latest_checkpoint(run)
