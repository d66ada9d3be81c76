"""Learning-rate schedules: a linear warm-up, then a fall along a cosine, a line or one over the square root."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minigpt.core.settings import at_least, must, one_of, require


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate over the steps."""

    kind: str = "cosine"
    peak: float = 1e-3
    floor: float = 0.0  # where cosine, linear, polynomial and bert end
    warmup: int = 100  # steps of linear warm-up
    steps: int = 0  # over how many steps they fall; 0 means train.steps
    warmup_tokens: int = 0  # the same two in training tokens, in place of steps, where `tokens` is not 0
    tokens: int = 0

    def __post_init__(self) -> None:
        one_of("schedule.kind", self.kind, ("cosine", "linear", "inverse_sqrt", "constant", "polynomial", "bert"))
        must(self.peak > 0, "schedule", self, "peak", "be positive")
        require(0 <= self.floor <= self.peak, "schedule.floor must be between 0 and schedule.peak")
        at_least(0, "schedule", self, "warmup", "steps", "warmup_tokens", "tokens")
        fits = self.warmup_tokens < self.tokens or not self.warmup_tokens
        must(fits, "schedule", self, "warmup_tokens", f"be less than schedule.tokens, {self.tokens}")


def learning_rate(schedule: ScheduleConfig, step: int, total: int, *, tokens: int = 0, step_tokens: int = 1) -> float:
    """Return the rate of the update number `step`, counted from 0.

    Warm-up: peak · (step + 1)/(warmup + 1), so that the first update is not lost on a rate of 0. Then, with
    x = (step − warmup)/(total − warmup) in [0, 1]:
        cosine         floor + (peak − floor) · ½ (1 + cos πx)
        linear         floor + (peak − floor) · (1 − x)
        inverse_sqrt   peak · √((warmup + 1)/(step + 1)), which never ends. With warmup = W − 1 and peak = (C W)^−½
                       it is C^−½ · min(s^−½, s W^−1.5) for s = step + 1: "Noam" (Vaswani et al. 2017)
        constant       peak
        polynomial     linear, but with the warm-up of fairseq (BART): peak · step/warmup, 0 at the first update.
    With `schedule.tokens` everything is counted in tokens instead (GPT-3, whose steps grow): a step's own tokens take
    the place of the 1, so that steps of one size have the rates that they would have in steps.

    "bert" is that of BERT's released code: floor + (peak − floor) · (1 − step/total) from step 0 on, which the warm-up,
    peak · step/warmup, replaces as long as it lasts. So the first update has the rate 0, and the end of the warm-up is
    a jump down, to (1 − warmup/total) · peak if the floor is 0.

    GPT's released code differs: its cosine runs from step 0, ½ (1 + cos(π · step/total)), and jumps at the end of
    warm-up.

    Args:
        total: the number of steps over which cosine, linear, polynomial and bert fall; afterwards the rate stays at the
            floor.
        tokens, step_tokens: the tokens before this step, and its own.
    """
    done, own, warmup = step, 1, schedule.warmup
    if schedule.tokens:
        done, own, warmup, total = tokens, step_tokens, schedule.warmup_tokens, schedule.tokens
    if done < warmup and schedule.kind in ("polynomial", "bert"):
        return schedule.peak * done / warmup
    if schedule.kind == "bert":
        return schedule.floor + (schedule.peak - schedule.floor) * max(0.0, 1.0 - done / total)
    if done < warmup:
        return schedule.peak * (done + own) / (warmup + own)
    if schedule.kind == "constant":
        return schedule.peak
    if schedule.kind == "inverse_sqrt":
        return schedule.peak * math.sqrt((warmup + own) / (done + own))
    x = min(1.0, (done - warmup) / max(1, total - warmup))
    fall = 0.5 * (1.0 + math.cos(math.pi * x)) if schedule.kind == "cosine" else 1.0 - x
    return schedule.floor + (schedule.peak - schedule.floor) * fall
