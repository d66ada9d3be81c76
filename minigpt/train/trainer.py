"""A run: its steps (see `minigpt.train.stepper`), and now and then an evaluation, a sample, a checkpoint."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from minigpt.blocks.dispatch import choose
from minigpt.blocks.mixed import low_dtype
from minigpt.core.backend import Backend
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.core.progress import progress_bar
from minigpt.models.model import Model
from minigpt.tokenizers import fingerprint
from minigpt.train.best import Best, best_so_far
from minigpt.train.checkpoint import (
    check_tokenizer,
    is_power_of_two,
    latest_checkpoint,
    load_state,
    remove_leftovers,
    save_checkpoint,
)
from minigpt.train.log import RunLog, read_log
from minigpt.train.loss import Score
from minigpt.train.objectives.base import LoadedData, Objective
from minigpt.train.objectives.landmarks import Landmarks
from minigpt.train.passes import Passes
from minigpt.train.report import Pace, Reporter, Result, is_due, result_of
from minigpt.train.settings import RunConfig
from minigpt.train.state import TrainingState, not_finite
from minigpt.train.stepper import Stepper
from minigpt.train.threads import ThreadPool
from minigpt.train.workers import Trained, make_workers


class Session(NamedTuple):
    """What is there while a run trains: threads for evaluation, what makes steps, and what tells of them."""

    threads: ThreadPool
    stepper: Stepper
    reporter: Reporter


class Trainer:
    """Trains one model in one run folder.

    A checkpoint is taken right after the step, before what is only looked at (evaluation, samples), and resuming looks
    again; so nothing that goes wrong there costs any training.
    """

    state: TrainingState  # from `start` or `resume` on

    def __init__(
        self, run: Path, config: RunConfig, model: Model, objective: Objective, dataset: LoadedData, backend: Backend
    ):
        """Args: `objective` and the `dataset` it loaded are of the model's family (see `minigpt.train.objectives`)."""
        self.run, self.config, self.model, self.backend = run, config, model, backend
        self.objective, self.dataset = objective, dataset
        c = config.train
        self.chosen = choose(
            c.operations,
            backend,
            attention=c.attention,
            emulate=c.emulate,
            dtype=c.compute_dtype,
            head_width=model.head_width,
        )
        compute = None if c.compute == "same" else c.compute
        if compute:
            low_dtype(compute)  # fails here, with one sentence, if the package for it is missing
        self.passes = Passes(self.chosen.operations, compute, c.recompute, backend)
        self.pace = Pace()
        self._positions: dict[str, int] | None = None
        self._marks: dict[int | None, Landmarks | None] = {}
        self._made = False  # by `start`, and not trained yet
        self._given_up = False  # the last evaluations brought nothing better

    @property
    def log(self) -> RunLog:
        return RunLog(self.run)

    def start(self, params: Parameters | None = None) -> None:
        """Take a fresh model's parameters, or those that are given (of a pretrained model)."""
        c = self.config.train
        fresh = self.model.init(c.seed, c.dtype, self.backend) if params is None else params
        self.state, self._made = TrainingState.fresh(self.config, fresh), True

    def resume(self) -> None:
        """Go on from the newest checkpoint: take everything from it, and cut the logs back to it."""
        checkpoint = latest_checkpoint(self.run)
        if self._made and checkpoint.name == f"step-{self.state.step}":
            return  # it was written from this very state, and no other process has gone on with the run meanwhile
        kept = load_state(checkpoint)
        check_same_text(self.dataset, kept, self.run)
        check_tokenizer(kept, self.objective.tokenizer, self.run)
        self.state = TrainingState.restored(checkpoint, kept, self.config, self.model, self.backend)
        if self.config.train.steps < self.state.step:
            raise UserError(f"{self.run} is at step {self.state.step} already; --steps must not be less")
        self.log.cut_back(kept["positions"])
        remove_leftovers(self.run)

    def save(self, folder: Path | None = None) -> Path:
        """Write a checkpoint of the state, unless there is one; in another folder where the run is yet to be made."""
        state, c = self.state, self.config.train
        kept = {
            "data": self.dataset.fingerprint,
            "tokenizer": fingerprint(self.objective.tokenizer),
            "positions": self._positions or RunLog(folder or self.run).positions(),
            **state.kept(),
        }
        best = self._best()
        return save_checkpoint(
            folder or self.run,
            state.step,
            state.params,
            state.optimizer,
            kept,
            backend=self.backend,
            keep=c.keep_checkpoints,
            best=best.step if best else None,
            powers=c.checkpoint_powers,
        )

    def _best(self) -> Best | None:
        return best_so_far(self.run, self.config.train.best) if self.config.train.best else None

    def train(self, *, should_stop: Callable[[], bool] = lambda: False) -> Result:
        """Train until `train.steps` are done or `should_stop()` says so, and leave a checkpoint of where it ended.

        Raises:
            UserError: the loss, the gradient or the weights are no longer finite; the last good checkpoint stays.
        """
        c, state, self._made = self.config.train, self.state, False
        print(f"attention: {self.chosen.attention}", file=sys.stderr)
        with self.session() as session:
            complete = self._look(session, should_stop)
            while state.step < c.steps and not should_stop() and not self._given_up:
                self._train_step(session)
                self._positions = self.log.positions()
                power = c.checkpoint_powers and is_power_of_two(state.step)
                if state.step == c.steps or is_due(state.step, c.checkpoint_every) or power:
                    self.save()
                complete = not should_stop() and self._look(session, should_stop)
            self.save()
        finished = complete and (state.step == c.steps or self._given_up)
        lines = read_log(self.run)
        evaluated = [line for line in lines if "val_loss" in line][-1] if finished else None
        sample = self._sample if finished else None
        return result_of(self.run, state.step, lines, evaluated, sample, self.pace.per_second)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Workers, which train in processes where they may and can, and a progress bar."""
        c, state = self.config.train, self.state
        trained = Trained(self.model, state.params, state.optimizer, self.passes)
        processes = c.processes and not c.emulate
        with (
            ThreadPool(c.workers) as threads,
            closing(make_workers(trained, threads, processes=processes)) as workers,
            progress_bar(total=c.steps, initial=state.step, unit="step", smoothing=0.05) as bar,
        ):
            stepper = Stepper(self.run, self.config, self.objective, self.dataset.train, workers)
            yield Session(threads, stepper, Reporter(self.log, self.config, bar, self.pace))

    def _train_step(self, session: Session) -> None:
        started = time.perf_counter()
        done = session.stepper.make(self.state)
        session.reporter.stepped(self.state, done, time.perf_counter() - started)

    def _look(self, session: Session, should_stop: Callable[[], bool]) -> bool:
        """Evaluate and sample if this step is due for it; False if that was interrupted."""
        c, step = self.config.train, self.state.step
        last = step == c.steps
        limit = None if last else c.eval_tokens
        if (last or is_due(step, c.eval_every)) and self._evaluate(session, limit, should_stop) is None:
            return False
        if last or is_due(step, c.sample_every) or self._given_up:
            seed = [c.seed, step]
            self._sample = "".join(self.objective.sample(self.model, self.state.params, self.config.sample, seed))
            self.log.sample(step, self._sample)
        return True

    def _evaluate(self, session: Session, limit: int | None, should_stop: Callable[[], bool]) -> Score | None:
        """Score the validation text (all of it without a limit) and log the loss; None if interrupted."""
        batches = self.objective.evaluation_batches(self.dataset.validation, self.config.train.batch, limit)
        score = self.objective.evaluate(
            self.model, self.state.params, batches, threads=session.threads, passes=self.passes, should_stop=should_stop
        )
        if score is None:
            return None
        if not math.isfinite(score.loss):
            raise not_finite(self.run, self.state.step, "the validation loss", score.loss)
        if limit not in self._marks:
            self._marks[limit] = self.objective.landmarks(self.dataset, limit)
        session.reporter.evaluated(self.state.step, score, self._marks[limit])
        if patience := self.config.train.patience:
            best = self._best()
            self._given_up = best is not None and best.since >= patience
        return score


def check_same_text(dataset: LoadedData, state: dict[str, Any], run: Path) -> None:
    """Raise UserError if the text is another one than the run was trained on; a converted one was on none so far."""
    if state["data"] is not None and state["data"] != dataset.fingerprint:
        raise UserError(f"the text is not the one that {run} was trained on; give the same text with --data")
