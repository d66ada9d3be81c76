"""The training loop: draw a batch, pass forward and backward, clip, update; now and then evaluate, sample and save."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from minigpt.blocks.dispatch import choose
from minigpt.blocks.mixed import low_dtype
from minigpt.core.backend import Backend
from minigpt.core.errors import UserError
from minigpt.core.measures import Measures, means
from minigpt.core.params import Parameters
from minigpt.core.progress import progress_bar, write_line
from minigpt.kernels.emulator import Emulation
from minigpt.tokenizers import fingerprint
from minigpt.train.best import Best, best_so_far
from minigpt.train.checkpoint import (
    check_tokenizer,
    checkpoint_paths,
    is_power_of_two,
    load_state,
    load_weights,
    remove_leftovers,
    restore_optimizer,
    save_checkpoint,
)
from minigpt.train.fused_optimizer import FusedAdamW
from minigpt.train.log import RunLog, last_sample, read_log
from minigpt.train.loss import Score, mean_loss
from minigpt.train.optimizer import AdamW, clip_factor
from minigpt.train.ramp import passes, step_rows
from minigpt.train.run_folder import load_config
from minigpt.train.scaling import LossScale
from minigpt.train.schedule import learning_rate
from minigpt.train.settings import RunConfig
from minigpt.train.shards import ShardPool

_MEAN_OVER = 50  # logged steps that the reported training loss is averaged over


class Result(NamedTuple):
    """What a training run came to. `val_loss` and `sample` are None if it was stopped before its last evaluation."""

    run: Path
    steps: int
    train_loss: float | None
    val_loss: float | None
    tokens_per_second: float | None
    sample: str | None
    landmarks: dict[str, float] | None = None  # of the last evaluation: see `minigpt.train.objectives.landmarks`


class Trainer:
    """Trains one model in one run folder, from its newest checkpoint on.

    Everything random is a function of (seed, step), so what a checkpoint must hold is small: weights, moments and the
    number of steps done. It is taken right after the step, before what is only looked at (evaluation, samples), and
    resuming looks again; so nothing that goes wrong there costs any training.
    """

    def __init__(self, run: Path, config: RunConfig, model: Any, objective: Any, dataset: Any, backend: Backend):
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
        if c.compute != "same":
            low_dtype(c.compute)  # fails here, with one sentence, if the package for it is missing
        self.loss_scale = LossScale.of(c.compute)
        self.step = self.rows = self.tokens = 0  # of training so far
        self._positions: dict[str, int] | None = None
        self._marks: dict[int | None, Any] = {}
        self._given_up = False  # the last evaluations brought nothing better
        self._seconds, self._tokens_timed = 0.0, 0

    @property
    def log(self) -> RunLog:
        return RunLog(self.run)

    def start(self, params: Parameters | None = None) -> None:
        """Take a fresh model's parameters, or those that are given (of a pretrained model)."""
        c = self.config.train
        self.params = self.model.init(c.seed, c.dtype, self.backend) if params is None else params
        self.optimizer = self._new_optimizer()

    def _new_optimizer(self) -> AdamW:
        """AdamW by array operations, or by a kernel where the operations are kernels."""
        if self.config.train.operations != "kernels":
            return AdamW(self.params, self.config.optimizer)
        emulation = Emulation() if self.config.train.emulate else None
        return FusedAdamW(self.params, self.config.optimizer, emulation=emulation)

    def resume(self, checkpoint: Path) -> None:
        """Take everything from a checkpoint and cut the logs back to it."""
        state = load_state(checkpoint)
        check_same_text(self.dataset, state, self.run)
        check_tokenizer(state, self.objective.tokenizer, self.run)
        self.params = load_weights(checkpoint, self.model, dtype=self.config.train.dtype, backend=self.backend)
        self.optimizer = self._new_optimizer()
        restore_optimizer(checkpoint, self.optimizer, state["updates"], backend=self.backend)
        self.loss_scale = LossScale.of(self.config.train.compute, state.get("loss_scale"))
        self.step = state["step"]
        c = self.config.train
        self.rows = state.get("rows", self.step * c.batch * c.accumulation)  # older runs had neither ramps nor the rest
        self.tokens = state.get("tokens", 0)
        if self.config.train.steps < self.step:
            raise UserError(f"{self.run} is at step {self.step} already; --steps must not be less")
        self.log.cut_back(state["positions"])
        remove_leftovers(self.run)

    def save(self, folder: Path | None = None) -> Path:
        """Write a checkpoint of the state after `self.step` steps."""
        positions = self._positions or RunLog(folder or self.run).positions()
        tokenizer = fingerprint(self.objective.tokenizer)
        state = {"data": self.dataset.fingerprint, "tokenizer": tokenizer, "positions": positions}
        state |= {"rows": self.rows, "tokens": self.tokens}
        if self.loss_scale.adjusts:
            state["loss_scale"] = self.loss_scale.state()
        c = self.config.train
        return save_checkpoint(
            folder or self.run,
            self.step,
            self.params,
            self.optimizer,
            state,
            backend=self.backend,
            keep=c.keep_checkpoints,
            best=best.step if (best := self._best()) else None,
            powers=c.checkpoint_powers,
        )

    def _best(self) -> Best | None:
        return best_so_far(self.run, self.config.train.best) if self.config.train.best else None

    def train(self, *, should_stop: Callable[[], bool] = lambda: False) -> Result:
        """Train until `train.steps` are done or `should_stop()` says so, and leave a checkpoint of where it ended.

        Raises:
            UserError: the loss, the gradient or the weights are no longer finite; the last good checkpoint stays.
        """
        c = self.config.train
        print(f"attention: {self.chosen.attention}", file=sys.stderr)
        with self.pool() as pool:
            if c.processes and not c.emulate:
                pool.fork(self.model, self.params, self.optimizer)
            with progress_bar(total=c.steps, initial=self.step, unit="step", smoothing=0.05) as bar:
                complete = self._look(pool, bar, should_stop)
                while self.step < c.steps and not should_stop() and not self._given_up:
                    self._train_step(pool, bar)
                    self._positions = self.log.positions()
                    power = c.checkpoint_powers and is_power_of_two(self.step)
                    if self.step == c.steps or _due(self.step, c.checkpoint_every) or power:
                        self.save()
                    complete = not should_stop() and self._look(pool, bar, should_stop)
                self.save()
        return self._result(finished=complete and (self.step == c.steps or self._given_up))

    def pool(self) -> ShardPool:
        c = self.config.train
        compute = None if c.compute == "same" else c.compute
        return ShardPool(c.workers, self.chosen.operations, compute=compute, recompute=c.recompute)

    def _look(self, pool: ShardPool, bar: tqdm, should_stop: Callable[[], bool]) -> bool:
        """Evaluate and sample if this step is due for it; False if that was interrupted."""
        c, last = self.config.train, self.step == self.config.train.steps
        limit = None if last else c.eval_tokens
        if (last or _due(self.step, c.eval_every)) and self._evaluate(pool, bar, limit, should_stop) is None:
            return False
        if last or _due(self.step, c.sample_every) or self._given_up:
            self._sample = self.sample()
            self.log.sample(self.step, self._sample)
        return True

    def _train_step(self, pool: ShardPool, bar: tqdm) -> None:
        c, started = self.config.train, time.perf_counter()
        batches = self._batches()
        step_tokens = sum(batch.token_count for batch in batches)
        measures: Measures = {}
        loss, grads = pool.loss_and_grads(
            self.model,
            self.params,
            batches,
            seed=c.seed,
            step=self.step,
            to_device=self.backend.asarray,
            measures=measures,
            scale=self.loss_scale.value,
        )
        norm = pool.norm(grads) / self.loss_scale.value
        if not math.isfinite(loss):
            raise self._not_finite("the loss", loss)
        update = self._update(pool, grads, norm, step_tokens)
        self.step += 1
        self.rows += sum(batch.row_count for batch in batches)
        self.tokens += step_tokens
        self._seconds += time.perf_counter() - started
        self._tokens_timed += step_tokens
        if _due(self.step, c.log_every):
            paced = {"tokens": self.tokens} if c.ramp_tokens or self.config.schedule.tokens else {}
            self.log.line(step=self.step, loss=loss, **update, **paced, **means(measures))
        shown = "".join(f"{name} {value:.3f}, " for name, value in means(measures).items())
        bar.set_postfix_str(f"loss {loss:.3f}, {shown}{self.tokens_per_second():,.0f} tokens/s", refresh=False)
        bar.update()

    def _batches(self) -> list[Any]:
        """The batches of the step at hand."""
        c, batches, first_row = self.config.train, [], self.rows
        for part, rows in enumerate(passes(step_rows(c, self.tokens), c.batch)):
            place = {"seed": c.seed, "step": self.step, "part": part, "first_row": first_row}
            batches.append(self.objective.batch(self.dataset.train, rows, **place))
            first_row += rows
        return batches

    def _update(self, pool: ShardPool, grads: Parameters, norm: float, step_tokens: int) -> dict[str, Any]:
        """Update the parameters, and return what the log should say of it.

        A gradient that overflowed because of the loss scale is left out, and the scale goes down.
        """
        c = self.config
        total = c.schedule.steps or c.train.steps
        lr = learning_rate(c.schedule, self.step, total, tokens=self.tokens, step_tokens=step_tokens)
        if not math.isfinite(norm):
            if not self.loss_scale.can_shrink:
                raise self._not_finite("the gradient's norm", norm)
            self.loss_scale.shrink()
            return {"lr": lr, "skipped": True, "loss_scale": self.loss_scale.value}
        scale = clip_factor(norm, c.optimizer.clip) / self.loss_scale.value
        pool.update(self.optimizer, self.params, grads, lr, scale=scale)
        self.loss_scale.count_good()
        return {"lr": lr, "grad_norm": norm}

    def _not_finite(self, what: str, value: float) -> UserError:
        good = checkpoint_paths(self.run)[-1]
        return UserError(
            f"{what} is {value} after step {self.step}, so training stopped; the last good checkpoint is {good}; "
            "try a lower schedule.peak or a longer schedule.warmup"
        )

    def _evaluate(self, pool: ShardPool, bar: tqdm, limit: int | None, should_stop: Callable[[], bool]) -> Score | None:
        """Score the validation text (all of it without a limit) and log the loss; None if interrupted."""
        batches = self.objective.evaluation_batches(self.dataset.validation, self.config.train.batch, limit)
        score = getattr(self.objective, "evaluate", mean_loss)(
            self.model, self.params, batches, pool=pool, to_device=self.backend.asarray, should_stop=should_stop
        )
        if score is None:
            return None
        if not math.isfinite(score.loss):
            raise self._not_finite("the validation loss", score.loss)
        measured = {f"val_{name}": value for name, value in score.measures.items()}
        items, count = score.counted
        marks = self._landmarks(limit)
        placed = marks.values(score.loss) if marks else {}
        self.log.line(step=self.step, val_loss=score.loss, **{f"val_{items}": count}, **measured, **placed)
        if self._tokens_timed:
            self.log.timing(step=self.step, tokens_per_second=round(self.tokens_per_second(), 1))
        shown = "".join(f", {name} {value:.4f}" for name, value in score.measures.items())
        between = f" ({marks.sentence(score.loss)})" if marks else ""
        line = f"step {self.step}: validation loss {score.loss:.4f}{shown} over {count} {items}{between}"
        write_line(bar, line, sys.stderr)
        if patience := self.config.train.patience:
            best = self._best()
            self._given_up = best is not None and best.since >= patience
        return score

    def _landmarks(self, limit: int | None) -> Any:
        """What the loss on so many validation tokens lies between, if the objective knows."""
        if not hasattr(self.objective, "landmarks"):
            return None
        if limit not in self._marks:
            self._marks[limit] = self.objective.landmarks(self.dataset, limit)
        return self._marks[limit]

    def sample(self) -> str:
        """What the model makes of the run's own sample settings, with a draw that depends on seed and step."""
        seed = [self.config.train.seed, self.step]
        return "".join(self.objective.sample(self.model, self.params, self.config.sample, seed))

    def tokens_per_second(self) -> float:
        """Training tokens over the time of training steps (evaluation and saving left out)."""
        return self._tokens_timed / self._seconds if self._seconds else 0.0

    def _result(self, *, finished: bool) -> Result:
        lines = read_log(self.run)
        evaluated = [line for line in lines if "val_loss" in line][-1] if finished else None
        sample = self._sample if finished else None
        return _result_of(self.run, self.step, lines, evaluated, sample, self.tokens_per_second() or None)


def finished_result(run: Path, steps: int | None = None) -> Result | None:
    """What a run came to that has done all its steps, and evaluated and sampled after the last one; else None.

    Args:
        steps: how many are asked for now, where it is not left to the run's configuration.
    """
    last, checkpoints = load_config(run).train.steps, checkpoint_paths(run)
    if steps not in (None, last) or not checkpoints or load_state(checkpoints[-1])["step"] != last:
        return None
    lines, text = read_log(run), last_sample(run, last)
    evaluated = [line for line in lines if line["step"] == last and "val_loss" in line]
    return _result_of(run, last, lines, evaluated[-1], text) if evaluated and text is not None else None


def _result_of(
    run: Path, step: int, lines: list[dict], evaluated: dict | None, sample: str | None, speed: float | None = None
) -> Result:
    """Put together from the log what a run came to."""
    losses = [line["loss"] for line in lines if "loss" in line][-_MEAN_OVER:]
    placed = evaluated is not None and "floor" in evaluated
    return Result(
        run,
        step,
        math.fsum(losses) / len(losses) if losses else None,
        evaluated["val_loss"] if evaluated else None,
        speed,
        sample,
        {name: evaluated[name] for name in ("ngram", "floor", "share")} if placed else None,
    )


def check_same_text(dataset: Any, state: dict[str, Any], run: Path) -> None:
    """Raise UserError if the text is another one than the run was trained on; a converted one was on none so far."""
    if state["data"] is not None and state["data"] != dataset.fingerprint:
        raise UserError(f"the text is not the one that {run} was trained on; give the same text with --data")


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
