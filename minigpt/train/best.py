"""Which checkpoint of a run is its best: by what was measured on the validation data.

A checkpoint says which one was the best before it. What was measured after it stands in the log, which is cut back to
the checkpoint when a run resumes; so a run that resumes judges as one that never stopped, and reads no long log for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from minigpt.train.checkpoint import latest_checkpoint, load_state
from minigpt.train.integrity import FOLDER, LOG
from minigpt.train.log import is_number, log_lines


class Best(NamedTuple):
    """The best evaluation so far: its step, its value, and how many evaluations came after it."""

    step: int
    value: float
    since: int


def better(best: Best | None, lines: Iterable[Mapping[str, Any]], measure: str) -> Best | None:
    """The first evaluation that no other one beats, of those before the log's `lines` and in them; None before any.

    Args:
        measure: which of the log's val_… counts; of a "loss" or "perplexity" the smallest is the best, of anything else
            the largest.
    """
    name, sign = f"val_{measure}", -1.0 if measure in ("loss", "perplexity") else 1.0
    for line in lines:
        if not is_number(line.get(name)):
            continue
        if best is None or sign * line[name] > sign * best.value:
            best = Best(line["step"], line[name], 0)
        else:
            best = best._replace(since=best.since + 1)
    return best


def best_so_far(run: Path, measure: str) -> Best | None:
    """The best evaluation of a run, as its log says."""
    return better(None, log_lines(run), measure)


def best_at(run: Path, kept: Mapping[str, Any], measure: str) -> Best | None:
    """The best evaluation before a checkpoint, of its `load_state`; older checkpoints did not keep it."""
    if "best" not in kept:
        return best_so_far(run, measure)
    best = kept["best"]
    return None if best is None else Best(int(best[0]), float(best[1]), int(best[2]))


def chosen_checkpoint(run: Path, measure: str) -> Path:
    """The checkpoint that a run is opened at: its best by `measure`; its newest if that is "" or was never logged."""
    newest = latest_checkpoint(run)
    if not measure:
        return newest
    kept = load_state(newest)
    after = log_lines(run, kept["positions"][LOG]) if "best" in kept else ()
    best = better(best_at(run, kept, measure), after, measure)
    path = None if best is None else run / FOLDER / f"step-{best.step}"
    return path if path is not None and path.is_dir() else newest
