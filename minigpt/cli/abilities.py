"""What a command needs of a run that it picks itself, the newest one in runs/ that has it."""

from __future__ import annotations

from pathlib import Path

from minigpt.tasks import TASKS, Summary, Translation
from minigpt.tokenizers.base import TOKENIZER_FILE
from minigpt.train.checkpoint import latest_checkpoint, load_state
from minigpt.train.families import FAMILIES
from minigpt.train.integrity import checkpoint_paths
from minigpt.train.log import last_losses
from minigpt.train.run_folder import Ability
from minigpt.train.settings import RunConfig


def _reads(run: Path, config: RunConfig) -> bool:
    return (run / TOKENIZER_FILE).exists()


def _writes(run: Path, config: RunConfig) -> bool:
    return _reads(run, config) and (not config.task or TASKS[config.task].kind in (Summary, Translation))


def _continues(run: Path, config: RunConfig) -> bool:
    return _reads(run, config) and not config.task and FAMILIES[config.family].continues


def _pretrained(run: Path, config: RunConfig) -> bool:
    return _reads(run, config) and not config.task


def _tuned(run: Path, config: RunConfig) -> bool:
    return _reads(run, config) and bool(config.task)


def _trained_here(run: Path, config: RunConfig) -> bool:
    return _reads(run, config) and load_state(latest_checkpoint(run)).get("data") is not None


def _logged(run: Path, config: RunConfig) -> bool:
    return bool(last_losses(run, 1))


WRITE = Ability("write", _writes)
EXPLAIN = Ability("be explained: it predicts tokens", _pretrained)
CONTINUE = Ability("continue a text", _continues)
FINE_TUNE = Ability("be fine-tuned: it is pretrained and no more", _pretrained)
MEASURE = Ability("be measured on the text that it was trained on", _trained_here)
MEASURE_TEXT = Ability("be measured on a text", _pretrained)
MEASURE_TASK = Ability("be measured on a part of its task", _tuned)
PLOT = Ability("be plotted: it has logged a loss", _logged)


def average(last: int) -> Ability:
    return Ability(f"be averaged: it has {last} checkpoints", lambda run, _: len(checkpoint_paths(run)) >= last)
