"""A run: its steps (see `minigpt.train.stepper`), and now and then an evaluation, a sample, a checkpoint."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from minigpt.blocks.dispatch import choose
from minigpt.blocks.mixed import low_dtype
from minigpt.core import disk
from minigpt.core.backend import Backend
from minigpt.core.errors import UserError, warn
from minigpt.core.params import Parameters
from minigpt.core.progress import progress_bar
from minigpt.data.dataset import Dataset
from minigpt.distributed.nccl import engine
from minigpt.distributed.ranks import ALONE, Ranks
from minigpt.models.model import Model
from minigpt.tokenizers import fingerprint
from minigpt.train.best import Best, best_at, better
from minigpt.train.checkpoint import (
    check_tokenizer,
    is_power_of_two,
    latest_checkpoint,
    load_state,
    not_finite,
    remove_leftovers,
    save_checkpoint,
)
from minigpt.train.integrity import FIXED, GROWING, Entry, check, files_of
from minigpt.train.log import NoLog, RunLog, last_evaluation
from minigpt.train.loss import Score
from minigpt.train.objectives.base import Objective
from minigpt.train.objectives.landmarks import Landmarks
from minigpt.train.passes import Passes
from minigpt.train.ranked import Ranked, pool, shard_count
from minigpt.train.report import FINISHED, Pace, Reporter, Result, is_due, note_finished, result_of
from minigpt.train.settings import RunConfig
from minigpt.train.state import TrainingState
from minigpt.train.stepper import Stepper
from minigpt.train.threads import ThreadPool
from minigpt.train.workers import Trained, Workers, make_workers


class Session(NamedTuple):
    """What is there while a run trains: threads for evaluation, what makes steps, and what tells of them."""

    threads: ThreadPool
    stepper: Stepper
    reporter: Reporter


@dataclass(eq=False)
class Trainer:
    """Trains one model in one run folder.

    A checkpoint is taken right after the step, before what is only looked at (evaluation, samples), and resuming looks
    again; so nothing that goes wrong there costs any training.

    Attributes:
        objective, dataset: of the model's family (see `minigpt.train.objectives`), and what the one has loaded.
        state: from `start` or `resume` on.
        best: of the evaluations so far, where `train.best` says by what.
    """

    run: Path
    config: RunConfig
    model: Model
    objective: Objective
    dataset: Dataset
    backend: Backend
    ranks: Ranks = ALONE
    state: TrainingState = field(init=False)
    best: Best | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        c = self.config.train
        how: dict[str, Any] = {"attention": c.attention, "emulate": c.emulate, "dtype": c.compute_dtype}
        self.chosen = choose(c.operations, self.backend, **how, head_width=self.model.head_width)
        compute = None if c.compute == "same" else c.compute
        if compute:
            low_dtype(compute)  # fails here, with one sentence, if the package for it is missing
        self.passes = Passes(self.chosen.operations, compute, c.recompute, self.backend)
        self.pace, self.log = Pace(), RunLog(self.run) if self.ranks.first else NoLog(self.run)
        self._fixed: dict[str, Entry] = {}
        self._files: dict[str, Entry] | None = None  # what the run's files were right after the last step
        self._marks: dict[int | None, Landmarks | None] = {}
        self._made = False  # by `start`, and not trained yet
        self._given_up = False  # the last evaluations brought nothing better

    def start(self, params: Parameters | None = None) -> None:
        """Take a fresh model's parameters, or those that are given (of a pretrained model)."""
        c = self.config.train
        fresh = self.model.init(c.seed, c.dtype, self.backend) if params is None else params
        self.state, self._made = TrainingState.fresh(self.config, fresh), True

    def resume(self) -> None:
        """Go on from the newest checkpoint: take everything from it, and cut the logs back to it. Rank 0 reads it.

        Raises:
            UserError: it, or a file that it needs, is damaged, or does not fit text and tokenizer.
        """
        if self.ranks.first:
            self._resume_from_disk()
        if self.ranks.size > 1:
            state = self.state if self.ranks.first else None
            self.state = TrainingState.shared(state, self.config, self.model, self.ranks)
            self.best = self.ranks.from_first(self.best)

    def _resume_from_disk(self) -> None:
        checkpoint = latest_checkpoint(self.run)
        kept = load_state(checkpoint)
        digests = check(checkpoint, *FIXED, *GROWING)  # weights and moments are compared when they are read
        if not (self._made and checkpoint.name == f"step-{self.state.step}"):  # else it was made of this very state
            self._restore(checkpoint, kept)
        elsewhere = {name: digest.entry() for name, digest in digests.items()} or files_of(self.run)
        if not digests:
            warn(f"{self.run} is of before there were lists of hashes: damage to its files would not be noticed")
        self.log = RunLog.resumed(self.run, digests, kept["positions"])
        self._fixed = {name: elsewhere[name] for name in FIXED if name in elsewhere}
        self._files = self._fixed | self.log.entries()
        self.best = best_at(self.run, kept, self.config.train.best) if self.config.train.best else None
        remove_leftovers(self.run)
        if (self.run / FINISHED).exists():
            disk.remove(self.run / FINISHED)  # it goes on, so its end is another one

    def _restore(self, checkpoint: Path, kept: dict[str, Any]) -> None:
        check_same_text(self.dataset, kept, self.run)
        check_tokenizer(kept, self.objective.tokenizer, self.run)
        if kept.get("operations", self.chosen.name) != self.chosen.name:  # older checkpoints do not say
            print(
                f"note: the run's steps so far were made with {kept['operations']} operations, the next ones will be "
                f"made with {self.chosen.name} ones, which round otherwise: bits can differ from those of a run "
                "that used one kind throughout",
                file=sys.stderr,
            )
        self.state = TrainingState.restored(checkpoint, kept, self.config, self.model, self.backend)
        if self.config.train.steps < self.state.step:
            raise UserError(f"{self.run} is at step {self.state.step} already; --steps must not be less")

    def _save(self, session: Session) -> None:
        """Write a checkpoint of the state, unless there is one, with the moments of all ranks."""
        with session.stepper.workers.whole_moments():
            if self.ranks.first:
                self.save_in(self.run)
        self.ranks.all(None, f"saving the checkpoint of step {self.state.step}")

    def save_in(self, folder: Path) -> None:
        """The same, by this rank alone, in the run's folder or where it is yet to be made."""
        state, c, best = self.state, self.config.train, self.best
        files = files_of(folder) if self._files is None else self._files
        kept = {
            "data": self.dataset.fingerprint,
            "tokenizer": fingerprint(self.objective.tokenizer),
            "operations": self.chosen.name,
            "positions": {name: files[name].bytes for name in GROWING},
            **({"best": best} if c.best else {}),
            **state.kept(),
        }
        save_checkpoint(
            folder,
            state.step,
            state.params,
            state.optimizer,
            kept,
            keep=c.keep_checkpoints,
            best=best.step if best else None,
            powers=c.checkpoint_powers,
            files=files,
        )

    def train(self, *, should_stop: Callable[[], bool] = lambda: False) -> Result:
        """Train until `train.steps` are done or `should_stop()` says so, and leave a checkpoint of where it ended.

        Raises:
            UserError: the loss, the gradient or the weights are no longer finite; the last good checkpoint stays.
        """
        c, state, self._made = self.config.train, self.state, False
        print(f"operations: {self.chosen.name}", file=sys.stderr)
        print(f"attention: {self.chosen.attention}", file=sys.stderr)
        if self.ranks.size > 1:
            print(f"{self.ranks.size} ranks: {engine(self.ranks, state.params.flat)}", file=sys.stderr)
        with self.session() as session:
            complete = self._look(session, should_stop)
            while state.step < c.steps and not self._stops(should_stop) and not self._given_up:
                started = time.perf_counter()
                done = session.stepper.make(state)
                session.reporter.stepped(state, done, time.perf_counter() - started)
                self._files = self._fixed | self.log.entries()
                power = c.checkpoint_powers and is_power_of_two(state.step)
                if state.step == c.steps or is_due(state.step, c.checkpoint_every) or power:
                    self._save(session)
                complete = not self._stops(should_stop) and self._look(session, should_stop)
            self._save(session)
        finished = complete and (state.step == c.steps or self._given_up)
        if not self.ranks.first:
            return Result(self.run, state.step, None, None, None, self._sample if finished else None)
        evaluated = last_evaluation(self.run, state.step) if finished else None
        sample = self._sample if finished else None
        if finished:
            note_finished(self.run, state.step, self.log.entries())
        return result_of(self.run, state.step, evaluated, sample, self.pace.per_second)

    def _stops(self, should_stop: Callable[[], bool]) -> bool:
        """Whether any rank was asked to stop."""
        return self.ranks.any(should_stop(), "what follows a step: evaluating, sampling and saving")

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Workers, which train in processes where they may and can, and a progress bar."""
        c, state = self.config.train, self.state
        trained = Trained(self.model, state.params, state.optimizer, self.passes, sums=c.sums)
        with (
            pool(self.ranks, c.workers) as threads,
            closing(self._make_workers(trained, threads)) as workers,
            progress_bar(total=c.steps, initial=state.step, unit="step", smoothing=0.05) as bar,
        ):
            stepper = Stepper(self.run, self.config, self.objective, self.dataset.train, workers)
            yield Session(threads, stepper, Reporter(self.log, self.config, bar, self.pace))

    def _make_workers(self, trained: Trained, threads: ThreadPool) -> Workers:
        c = self.config.train
        if self.ranks.size > 1:
            return Ranked(trained, self.ranks, shard_count(c.workers, self.ranks.size))
        return make_workers(trained, threads, processes=c.processes and not c.emulate)

    def _look(self, session: Session, should_stop: Callable[[], bool]) -> bool:
        """Evaluate and sample if this step is due for it; False if that was interrupted."""
        c, step = self.config.train, self.state.step
        last = step == c.steps
        limit = None if last else c.eval_tokens
        if (last or is_due(step, c.eval_every)) and self._evaluate(session, limit, should_stop) is None:
            return False
        if last or is_due(step, c.sample_every) or self._given_up:
            seed, params = [c.seed, step], self.state.params
            pieces = self.objective.sample(self.model, params, self.config.sample, seed) if self.ranks.first else ()
            self._sample = "".join(pieces)
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
            raise not_finite(self.run, self.state.step, f"the validation loss is {score.loss}")
        if limit not in self._marks:
            self._marks[limit] = self.objective.landmarks(self.dataset, limit) if self.ranks.first else None
        line = session.reporter.evaluated(self.state.step, score, self._marks[limit])
        if self.config.train.best:
            self.best = better(self.best, [line], self.config.train.best)
        if patience := self.config.train.patience:
            self._given_up = self.best is not None and self.best.since >= patience
        return score


def check_same_text(dataset: Dataset, state: dict[str, Any], run: Path) -> None:
    """Raise UserError if the text is another one than the run was trained on; a converted one was on none so far."""
    if state["data"] is not None and state["data"] != dataset.fingerprint:
        raise UserError(f"the text is not the one that {run} was trained on; give the same text with --data")
