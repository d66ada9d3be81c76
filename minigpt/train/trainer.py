"""The training loop: draw a batch, pass forward and backward, clip, update; now and then evaluate, sample and save."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from minigpt.backend import Backend
from minigpt.config import RunConfig
from minigpt.data.dataset import Dataset, random_batch
from minigpt.errors import UserError
from minigpt.evaluate.loss import Score, mean_loss
from minigpt.generate import generate, prompt_ids
from minigpt.progress import progress_bar
from minigpt.train.checkpoint import (
    checkpoint_paths,
    load_state,
    load_weights,
    remove_leftovers,
    restore_optimizer,
    save_checkpoint,
)
from minigpt.train.log import RunLog, read_log
from minigpt.train.optimizer import AdamW, clip_by_global_norm, global_norm
from minigpt.train.schedule import learning_rate
from minigpt.train.shards import ShardPool

_MEAN_OVER = 50  # steps that the reported training loss is averaged over


class Result(NamedTuple):
    """What a training run came to. `val_loss` is None if it was stopped before its last evaluation."""

    run: Path
    steps: int
    train_loss: float | None
    val_loss: float | None
    tokens_per_second: float | None
    finished: bool


class Trainer:
    """Trains one model in one run folder, from its newest checkpoint on.

    Everything random is a function of (seed, step), so what a checkpoint must hold is small: weights, moments and the
    number of steps done.
    """

    def __init__(self, run: Path, config: RunConfig, model: Any, dataset: Dataset, backend: Backend):
        self.run, self.config, self.model, self.dataset, self.backend = run, config, model, dataset, backend
        self.log = RunLog(run)
        self.step = 0
        self._seconds, self._steps_timed = 0.0, 0

    def start(self) -> None:
        """Take a fresh model's parameters."""
        self.params = self.model.init(self.config.train.seed, self.config.train.dtype, self.backend)
        self.optimizer = AdamW(self.params, self.config.optimizer)

    def resume(self, checkpoint: Path) -> None:
        """Take everything from a checkpoint and cut the logs back to it."""
        state = load_state(checkpoint)
        if state["data"] != self.dataset.fingerprint:
            raise UserError(f"the text is not the one that {self.run} was trained on; give the same text with --data")
        self.params = load_weights(checkpoint, self.model, dtype=self.config.train.dtype, backend=self.backend)
        self.optimizer = AdamW(self.params, self.config.optimizer)
        restore_optimizer(checkpoint, self.optimizer, state["updates"], backend=self.backend)
        self.step = state["step"]
        self.log.cut_back(state["positions"])
        remove_leftovers(self.run)

    def save(self, folder: Path | None = None) -> Path:
        """Write a checkpoint of the state after `self.step` steps."""
        log = self.log if folder is None else RunLog(folder)
        state = {"data": self.dataset.fingerprint, "positions": log.positions()}
        run, keep = folder or self.run, self.config.train.keep_checkpoints
        return save_checkpoint(run, self.step, self.params, self.optimizer, state, backend=self.backend, keep=keep)

    def train(self, *, should_stop: Callable[[], bool] = lambda: False) -> Result:
        """Train until `train.steps` are done or `should_stop()` says so, and leave a checkpoint of where it ended.

        Raises:
            UserError: the loss or the gradient is no longer finite; the last good checkpoint stays.
        """
        c = self.config.train
        with (
            ShardPool(c.workers) as pool,
            progress_bar(total=c.steps, initial=self.step, unit="step", smoothing=0.05) as bar,
        ):
            if self.step == 0 and c.eval_every:
                self.evaluate(pool, bar, limit=c.eval_tokens)
            while self.step < c.steps and not should_stop():
                self._train_step(pool, bar)
                last = self.step == c.steps
                if last or _due(self.step, c.eval_every):
                    self.evaluate(pool, bar, limit=None if last else c.eval_tokens)
                if last or _due(self.step, c.sample_every):
                    self.log.sample(self.step, self.sample())
                if last or _due(self.step, c.checkpoint_every):
                    self.save()
            self.save()
        return self.result()

    def _train_step(self, pool: ShardPool, bar: tqdm) -> None:
        c, started = self.config.train, time.perf_counter()
        batches = [
            random_batch(self.dataset.train, c.batch, self.model.config.context, seed=c.seed, step=self.step, part=part)
            for part in range(c.accumulation)
        ]
        loss, grads = pool.loss_and_grads(
            self.model, self.params, batches, seed=c.seed, step=self.step, to_device=self.backend.asarray
        )
        norm = global_norm(grads)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise self._not_finite(loss, norm)
        schedule = self.config.schedule
        lr = learning_rate(schedule, self.step, schedule.steps or c.steps)
        clip_by_global_norm(grads, self.config.optimizer.clip, norm)
        self.optimizer.step(self.params, grads, lr)
        self.step += 1
        self._seconds += time.perf_counter() - started
        self._steps_timed += 1
        if _due(self.step, c.log_every):
            self.log.line(step=self.step, loss=loss, lr=lr, grad_norm=norm)
        bar.set_postfix_str(f"loss {loss:.3f}, {self.tokens_per_second():,.0f} tokens/s", refresh=False)
        bar.update()

    def _not_finite(self, loss: float, norm: float) -> UserError:
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {norm}"
        good = checkpoint_paths(self.run)[-1]
        return UserError(
            f"{what} at step {self.step + 1}, so training stopped; the last good checkpoint is {good}; "
            "try a lower schedule.peak or a longer schedule.warmup"
        )

    def evaluate(self, pool: ShardPool, bar: tqdm, *, limit: int | None) -> Score:
        """Score the validation text (all of it without a limit) and log the loss."""
        score = mean_loss(
            self.model,
            self.params,
            self.dataset.validation,
            pool=pool,
            rows=self.config.train.batch,
            limit=limit,
            to_device=self.backend.asarray,
        )
        self.log.line(step=self.step, val_loss=score.loss, val_tokens=score.tokens)
        if self._steps_timed:
            self.log.timing(step=self.step, tokens_per_second=round(self.tokens_per_second(), 1))
        bar.write(f"step {self.step}: validation loss {score.loss:.4f} over {score.tokens} tokens", file=sys.stderr)
        return score

    def sample(self) -> str:
        """Let the model write, with the run's own settings and a draw that depends on seed and step."""
        s, tokenizer = self.config.sample, self.dataset.tokenizer
        ids = generate(
            self.model,
            self.params,
            prompt_ids(tokenizer, s.prompt),
            s.tokens,
            temperature=s.temperature,
            top_k=s.top_k,
            top_p=s.top_p,
            seed=[self.config.train.seed, self.step],
        )
        return s.prompt + tokenizer.decode(list(ids))

    def tokens_per_second(self) -> float:
        """Training tokens over the time of training steps (evaluation and saving left out)."""
        c = self.config.train
        tokens = self._steps_timed * c.batch * c.accumulation * self.model.config.context
        return tokens / self._seconds if self._seconds else 0.0

    def result(self) -> Result:
        lines = read_log(self.run)
        losses = [line["loss"] for line in lines if "loss" in line][-_MEAN_OVER:]
        finished = self.step >= self.config.train.steps
        val = [line["val_loss"] for line in lines if "val_loss" in line and line["step"] == self.step]
        return Result(
            self.run,
            self.step,
            math.fsum(losses) / len(losses) if losses else None,
            val[-1] if val and finished else None,
            self.tokens_per_second() or None,
            finished,
        )


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
