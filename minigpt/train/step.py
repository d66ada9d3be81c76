"""One step of a run: draw the batches, pass forward and backward, clip, update."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from minigpt.core.measures import Measures, means
from minigpt.data.batch import AnyBatch
from minigpt.train.objectives.base import Objective
from minigpt.train.optimizer import clip_factor
from minigpt.train.ramp import passes, step_rows
from minigpt.train.schedule import learning_rate
from minigpt.train.settings import RunConfig
from minigpt.train.state import TrainingState, not_finite
from minigpt.train.stepper import Stepper


class StepDone(NamedTuple):
    """What is to be said of a step: its loss, what the update was like, what the model measured, how long it was."""

    loss: float
    update: dict[str, float | bool]
    measures: dict[str, float]
    tokens: int


class RunSteps:
    """Makes the steps of a run, each a function of its state.

    Args:
        run: the folder, for errors to name.
        data: what `objective` draws batches from.
    """

    def __init__(self, run: Path, config: RunConfig, objective: Objective, data: Any, stepper: Stepper):
        self.run, self.config, self.objective, self.data, self.stepper = run, config, objective, data, stepper

    def make(self, state: TrainingState) -> StepDone:
        """The next step.

        Raises:
            UserError: the loss or the gradient is not finite.
        """
        seed, batches = self.config.train.seed, self._batches(state)
        tokens, scale = sum(batch.token_count for batch in batches), state.loss_scale.value
        measures: Measures = {}
        loss, _ = self.stepper.loss_and_grads(batches, seed=seed, step=state.step, measures=measures, scale=scale)
        norm = self.stepper.norm() / scale
        if not math.isfinite(loss):
            raise not_finite(self.run, state.step, "the loss", loss)
        update = self._update(state, norm, tokens)
        state.step += 1
        state.rows += sum(batch.row_count for batch in batches)
        state.tokens += tokens
        return StepDone(loss, update, means(measures), tokens)

    def _batches(self, state: TrainingState) -> list[AnyBatch]:
        c, batches, first_row = self.config.train, [], state.rows
        for part, rows in enumerate(passes(step_rows(c, state.tokens), c.batch)):
            place = {"seed": c.seed, "step": state.step, "part": part, "first_row": first_row}
            batches.append(self.objective.batch(self.data, rows, **place))
            first_row += rows
        return batches

    def _update(self, state: TrainingState, norm: float, tokens: int) -> dict[str, float | bool]:
        """Update the parameters, and return what the log should say of it.

        A gradient that overflowed because of the loss scale is left out, and the scale goes down.
        """
        c, scale = self.config, state.loss_scale
        total = c.schedule.steps or c.train.steps
        lr = learning_rate(c.schedule, state.step, total, tokens=state.tokens, step_tokens=tokens)
        if not math.isfinite(norm):
            if not scale.can_shrink:
                raise not_finite(self.run, state.step, "the gradient's norm", norm)
            scale.shrink()
            return {"lr": lr, "skipped": True, "loss_scale": scale.value}
        self.stepper.update(lr, scale=clip_factor(norm, c.optimizer.clip) / scale.value)
        scale.count_good()
        return {"lr": lr, "grad_norm": norm}
