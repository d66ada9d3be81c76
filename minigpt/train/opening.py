"""A trainer, put together of a run's configuration, tokenizer and text; for a run that exists, from its folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from minigpt.core.backend import Backend, get_backend
from minigpt.data.dataset import check_sources
from minigpt.tokenizers import Tokenizer
from minigpt.tokenizers.base import check_fit
from minigpt.train.families import make_model, make_objective
from minigpt.train.run_folder import find_run, load_config, load_tokenizer
from minigpt.train.settings import RunConfig
from minigpt.train.trainer import Trainer


def make_trainer(folder: Path, config: RunConfig, tokenizer: Tokenizer, backend: Backend) -> Trainer:
    """Put model, objective and text together."""
    check_fit(tokenizer, config.model.vocab_size)
    model = make_model(config)
    objective = make_objective(config, tokenizer)
    return Trainer(folder, config, model, objective, objective.load(), backend)


def open_run(name: str, *, steps: int | None = None, data: list[str] | None = None) -> Trainer:
    """The trainer of a run that exists: until step `steps`, with the text at a new place, where these are given."""
    folder = find_run(name)
    config = load_config(folder)
    if steps:
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=steps))
    if data:
        sources = tuple(lasting(source) for source in data)
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, sources=sources))
    check_sources(folder, config)
    return make_trainer(folder, config, load_tokenizer(folder), get_backend(config.train.backend))


def lasting(source: str) -> str:
    """A path is kept as an absolute one, so that the run can be resumed from any folder."""
    return str(Path(source).resolve()) if Path(source).exists() else source
