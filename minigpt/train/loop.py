"""A whole training loop, to be read: draw a batch, forward, backward, clip, update; now and then evaluate.

`minigpt train` takes the same steps in `minigpt.train.trainer`, which adds what a long run needs (workers, checkpoints,
resuming, samples, other objectives). A test holds its weights with one worker to these, bit by bit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minigpt import ops
from minigpt.blocks.run import Run
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.data.dataset import random_batch, window_batches
from minigpt.models.decoder_only import DecoderOnly
from minigpt.ops import Operations
from minigpt.train.muon import Muon
from minigpt.train.optimizer import AdamW, OptimizerConfig, clip_factor, global_norm
from minigpt.train.schedule import ScheduleConfig, learning_rate


class Step(NamedTuple):
    """What one update was like: its number from 1 on, the loss before it, the gradient's norm before clipping."""

    number: int
    loss: float
    lr: float
    grad_norm: float


class Evaluation(NamedTuple):
    """The mean loss (nats per token) over the validation text after so many steps."""

    step: int
    loss: float


def train(
    model: DecoderOnly,
    params: Parameters,
    tokens: np.ndarray,
    validation: np.ndarray,
    *,
    steps: int,
    rows: int,
    optimizer: OptimizerConfig,
    schedule: ScheduleConfig,
    seed: int = 0,
    eval_every: int = 100,
    eval_tokens: int = 20_000,
    operations: Operations = ops,
) -> tuple[list[Step], list[Evaluation]]:
    """Train `params` in place, and return what to log.

    Args:
        tokens, validation: (N,) the ids to learn from, and those to be judged by.
        rows: B, the windows in a batch; each has T = model.config.context tokens.
        seed: names the windows that are drawn and what dropout drops, together with the step.
        eval_every: evaluate after each so many steps, on about `eval_tokens` tokens; 0 only at the end. The evaluation
            at the end takes all of them.
        operations: `minigpt.ops`, or `minigpt.fast`, which is quicker and rounds otherwise.
    Raises:
        UserError: the loss or the gradient is no longer finite.
    """
    grads = params.zeros_like()
    update = AdamW(params, optimizer)
    if optimizer.name == "muon":
        update = Muon(params, update, optimizer.muon_rate / schedule.peak)
    log: list[Step] = []
    evaluations: list[Evaluation] = []
    for step in range(steps):
        if eval_every and step % eval_every == 0:
            loss = evaluate(model, params, validation, rows, eval_tokens, operations)
            evaluations.append(Evaluation(step, loss))
        batch = random_batch(tokens, rows, model.config.context, seed=seed, step=step)  # inputs and targets (B, T)
        run = Run(train=True, seed=seed, step=step, ops=operations)

        loss, cache = model.forward(params, batch, run)
        grads.flat[...] = 0
        model.backward(params, grads, cache, run)

        norm = global_norm(grads)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            said = f"after {step} steps the loss is {loss} and the gradient's norm {norm}; lower schedule.peak"
            raise UserError(said)
        seen, new = step * batch.inputs.size, batch.inputs.size
        lr = learning_rate(schedule, step, schedule.steps or steps, tokens=seen, step_tokens=new)
        update.step(params, grads, lr, scale=clip_factor(norm, optimizer.clip))
        log.append(Step(step + 1, loss, lr, norm))
    evaluations.append(Evaluation(steps, evaluate(model, params, validation, rows, None, operations)))
    return log, evaluations


def evaluate(
    model: DecoderOnly,
    params: Parameters,
    tokens: np.ndarray,
    rows: int,
    limit: int | None = None,
    operations: Operations = ops,
) -> float:
    """The mean loss over windows side by side: over each token once, or over about `limit` of them."""
    batches = [make() for make in window_batches(tokens, rows, model.config.context, limit)]
    count = sum(batch.targets.size for batch in batches)
    run = Run(denominators={"tokens": count}, ops=operations)  # each batch gives its part of one mean
    return math.fsum(model.forward(params, batch, run)[0] for batch in batches)
