"""The steps of training: draw the batches, pass forward and backward, clip, update."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from minigpt import ops
from minigpt.core.measures import Measures, means
from minigpt.core.params import Parameters
from minigpt.data.batch import AnyBatch
from minigpt.models.model import Model
from minigpt.train.checkpoint import not_finite
from minigpt.train.objectives.base import Objective
from minigpt.train.optimizer import AdamW, clip_factor
from minigpt.train.passes import Passes
from minigpt.train.schedule import learning_rate
from minigpt.train.settings import RunConfig, TrainConfig
from minigpt.train.state import TrainingState
from minigpt.train.threads import ThreadPool
from minigpt.train.workers import Trained, Workers, make_workers


class StepDone(NamedTuple):
    """What is to be said of a step: its loss, what the update was like, what the model measured, how long it was."""

    loss: float
    update: dict[str, float | bool]
    measures: dict[str, float]
    tokens: int


class Stepper:
    """Makes the steps of a run, each a function of its state.

    Args:
        run: the folder, for errors to name.
        data: what `objective` draws batches from.
    """

    def __init__(self, run: Path, config: RunConfig, objective: Objective, data: Any, workers: Workers):
        self.run, self.config, self.objective, self.data, self.workers = run, config, objective, data, workers

    def make(self, state: TrainingState) -> StepDone:
        """The next step.

        A gradient that overflowed because of the loss scale is left out, and the scale goes down.

        Raises:
            UserError: the loss or the gradient is not finite.
        """
        c, rows, batches = self.config, step_rows(self.config.train, state.tokens), list[AnyBatch]()
        count = -(-rows // c.train.batch)  # passes of at most `batch` rows, as equal as can be
        edges = [state.rows + rows * i // count for i in range(count + 1)]
        for part, (first, stop) in enumerate(itertools.pairwise(edges)):
            place = {"seed": c.train.seed, "step": state.step, "part": part, "first_row": first}
            batches.append(self.objective.batch(self.data, stop - first, **place))
        tokens, scale, measures = sum(batch.token_count for batch in batches), state.loss_scale, Measures()
        place = {"seed": c.train.seed, "step": state.step}
        loss, _ = self.workers.loss_and_grads(batches, **place, measures=measures, scale=scale.value)
        norm = self.workers.norm() / scale.value
        if not math.isfinite(loss):
            raise not_finite(self.run, state.step, f"the loss is {loss}")
        total = c.schedule.steps or c.train.steps
        lr = learning_rate(c.schedule, state.step, total, tokens=state.tokens, step_tokens=tokens)
        update: dict[str, float | bool] = {"lr": lr, "grad_norm": norm}
        if math.isfinite(norm):
            self.workers.update(lr, scale=clip_factor(norm, c.optimizer.clip) / scale.value)
            if scale.adjusts:
                scale.count_good()
        elif scale.can_shrink:
            scale.shrink()
            update = {"lr": lr, "skipped": True, "loss_scale": scale.value}
        else:
            raise not_finite(self.run, state.step, f"the gradient's norm is {norm}")
        state.step += 1
        state.rows += sum(batch.row_count for batch in batches)
        state.tokens += tokens
        return StepDone(loss, update, means(measures), tokens)


def step_rows(train: TrainConfig, tokens: int) -> int:
    """Rows of the step that begins after `tokens` tokens: the full batch, or, while training is young, less (GPT-3).

    They grow linearly from `ramp_from` to batch · accumulation over the first `ramp_tokens` tokens: early gradients
    agree with each other, and little is gained by averaging many of them.
    """
    full = train.batch * train.accumulation
    if tokens >= train.ramp_tokens:
        return full
    return train.ramp_from + (full - train.ramp_from) * tokens // train.ramp_tokens


@contextmanager
def stepping(
    model: Model,
    params: Parameters,
    optimizer: AdamW | None = None,
    *,
    workers: int = 1,
    operations: Any = ops,
    processes: bool = False,
) -> Iterator[Workers]:
    """Workers that make single steps: threads, or processes where the system can fork."""
    trained = Trained(model, params, optimizer, Passes(operations))
    with ThreadPool(workers) as threads, closing(make_workers(trained, threads, processes=processes)) as made:
        yield made
