"""How large a step is: the full batch, or, while training is young, less (GPT-3's ramp)."""

from __future__ import annotations

import itertools

from minigpt.train.settings import TrainConfig


def step_rows(train: TrainConfig, tokens: int) -> int:
    """Rows of the step that begins after `tokens` tokens.

    They grow linearly from `ramp_from` to batch · accumulation over the first `ramp_tokens` tokens: early gradients
    agree with each other, and little is gained by averaging many of them.
    """
    full = train.batch * train.accumulation
    if tokens >= train.ramp_tokens:
        return full
    return train.ramp_from + (full - train.ramp_from) * tokens // train.ramp_tokens


def passes(rows: int, batch: int) -> list[int]:
    """Cut a step's rows into passes of at most `batch` rows, as equal as can be."""
    count = -(-rows // batch)
    edges = [rows * i // count for i in range(count + 1)]
    return [b - a for a, b in itertools.pairwise(edges)]
