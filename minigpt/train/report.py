"""What a run says while it trains, in its log and beside its progress bar, and what it came to in the end."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from minigpt.core import disk
from minigpt.core.files import write_atomically
from minigpt.core.progress import write_line
from minigpt.train.checkpoint import load_state
from minigpt.train.integrity import SAMPLES, Entry, check, checkpoint_paths, digest_of, is_listed, sealed, unsealed
from minigpt.train.log import RunLog, last_evaluation, last_losses, last_sample
from minigpt.train.loss import Score
from minigpt.train.objectives.landmarks import Landmarks
from minigpt.train.run_folder import load_config
from minigpt.train.settings import RunConfig
from minigpt.train.state import TrainingState
from minigpt.train.stepper import StepDone

FINISHED = "finished.json"
_MEAN_OVER = 50  # logged steps that the reported training loss is averaged over


@dataclass
class Pace:
    """Training tokens over the time of training steps (evaluation and saving left out)."""

    tokens: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """0 before the first step."""
        return self.tokens / self.seconds if self.seconds else 0.0


class Reporter:
    """Writes the lines of a run's log, and says the same to whoever watches."""

    def __init__(self, log: RunLog, config: RunConfig, bar: tqdm, pace: Pace):
        self.log, self.config, self.bar, self.pace = log, config, bar, pace

    def stepped(self, state: TrainingState, done: StepDone, seconds: float) -> None:
        c = self.config
        self.pace.tokens += done.tokens
        self.pace.seconds += seconds
        if state.step % c.train.log_every == 0:
            paced = {"tokens": state.tokens} if c.train.ramp_tokens or c.schedule.tokens else {}
            self.log.line(step=state.step, loss=done.loss, **done.update, **paced, **done.measures)
        shown = "".join(f"{name} {value:.3f}, " for name, value in done.measures.items())
        self.bar.set_postfix_str(f"loss {done.loss:.3f}, {shown}{self.pace.per_second:,.0f} tokens/s", refresh=False)
        self.bar.update()

    def evaluated(self, step: int, score: Score, marks: Landmarks | None) -> dict[str, Any]:
        """Log an evaluation, and return what was logged."""
        measured = {f"val_{name}": value for name, value in score.measures.items()}
        items, count = score.counted
        placed = marks.values(score.loss) if marks else {}
        logged = {"step": step, "val_loss": score.loss, f"val_{items}": count, **measured, **placed}
        self.log.line(**logged)
        if self.pace.tokens:
            self.log.timing(step=step, tokens_per_second=round(self.pace.per_second, 1))
        shown = "".join(f", {name} {value:.4f}" for name, value in score.measures.items())
        between = f" ({marks.sentence(score.loss)})" if marks else ""
        line = f"step {step}: validation loss {score.loss:.4f}{shown} over {count} {items}{between}"
        write_line(self.bar, line, sys.stderr)
        self.bar.unpause()  # the bar's forecast is of steps: what was no step does not count
        return logged


class Result(NamedTuple):
    """What a training run came to. `val_loss` and `sample` are None if it was stopped before its last evaluation."""

    run: Path
    steps: int
    train_loss: float | None
    val_loss: float | None
    tokens_per_second: float | None
    sample: str | None
    landmarks: dict[str, float] | None = None  # of the last evaluation: see `minigpt.train.objectives.landmarks`


def finished_result(run: Path, steps: int | None = None) -> Result | None:
    """What a run came to that has done all its steps, and evaluated and sampled after the last one; else None.

    Args:
        steps: how many are asked for now, where it is not left to the run's configuration.
    """
    last, checkpoints = load_config(run).train.steps, checkpoint_paths(run)
    if steps not in (None, last) or not checkpoints or (kept := load_state(checkpoints[-1]))["step"] != last:
        return None
    check(checkpoints[-1])
    if is_listed(checkpoints[-1]) and ended_at(run) != last:
        return None  # what was logged after the last step may be damaged: it is done again
    evaluated, text = last_evaluation(run, last), last_sample(run, last, kept["positions"][SAMPLES])
    return result_of(run, last, evaluated, text) if evaluated and text is not None else None


def note_finished(run: Path, step: int, files: dict[str, Entry]) -> None:
    """Keep what log and samples are at a run's end, after its last checkpoint, so that damage to them is noticed."""
    for name in files:
        disk.sync(run / name)
    write_atomically(run / FINISHED, sealed({"step": step, "files": files}))
    disk.sync(run)


def ended_at(run: Path) -> int | None:
    """The step that a run was finished at; None where it is not, or log or samples are not what they were then."""
    try:
        noted = unsealed(run / FINISHED)
        same = [list(digest_of(run / Path(name).name).entry()) == entry for name, entry in noted["files"].items()]
        return int(noted["step"]) if all(same) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def result_of(run: Path, step: int, evaluated: dict[str, Any] | None, sample: str | None, speed: float = 0.0) -> Result:
    """Put together from the log what a run came to."""
    losses = last_losses(run, _MEAN_OVER)
    train_loss = math.fsum(losses) / len(losses) if losses else None
    last = evaluated or {}
    placed = {name: last[name] for name in ("ngram", "floor", "share")} if "floor" in last else None
    return Result(run, step, train_loss, last.get("val_loss"), speed or None, sample, placed)


def is_due(step: int, every: int) -> bool:
    """Whether what happens every so many steps, or with 0 never, happens after this one."""
    return every > 0 and step % every == 0
