"""Learning-rate schedules: a linear warm-up, then a fall along a cosine, a line or one over the square root."""

from __future__ import annotations

import math

from minigpt.config import ScheduleConfig


def learning_rate(schedule: ScheduleConfig, step: int, total: int) -> float:
    """Return the rate of the update number `step`, counted from 0.

    Warm-up: peak · (step + 1)/(warmup + 1), so that the first update is not lost on a rate of 0. Then, with
    x = (step − warmup)/(total − warmup) in [0, 1]:
        cosine         floor + (peak − floor) · ½ (1 + cos πx)
        linear         floor + (peak − floor) · (1 − x)
        inverse_sqrt   peak · √((warmup + 1)/(step + 1)), "Noam" (Vaswani et al. 2017), which never ends
        constant       peak.

    Args:
        total: the number of steps over which cosine and linear fall; afterwards the rate stays at the floor.
    """
    if step < schedule.warmup:
        return schedule.peak * (step + 1) / (schedule.warmup + 1)
    if schedule.kind == "constant":
        return schedule.peak
    if schedule.kind == "inverse_sqrt":
        return schedule.peak * math.sqrt((schedule.warmup + 1) / (step + 1))
    x = min(1.0, (step - schedule.warmup) / max(1, total - schedule.warmup))
    fall = 0.5 * (1.0 + math.cos(math.pi * x)) if schedule.kind == "cosine" else 1.0 - x
    return schedule.floor + (schedule.peak - schedule.floor) * fall
