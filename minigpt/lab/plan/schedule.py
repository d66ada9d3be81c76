"""How many tokens a configuration trains on, and how many rows its full batch has."""

from __future__ import annotations

from minigpt.train.settings import RunConfig
from minigpt.train.stepper import step_rows


def full_rows(config: RunConfig) -> int:
    return config.train.batch * config.train.accumulation


def training_tokens(config: RunConfig, row_tokens: int) -> int:
    """Rows of all steps times a row's tokens. While the batch still grows, each step is asked how many rows it has."""
    tokens = step = 0
    while step < config.train.steps and tokens < config.train.ramp_tokens:
        tokens += step_rows(config.train, tokens) * row_tokens
        step += 1
    return tokens + (config.train.steps - step) * full_rows(config) * row_tokens
