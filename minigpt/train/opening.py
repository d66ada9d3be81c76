"""A trainer, put together of a run's configuration, tokenizer and text; for a run that exists, from its folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from minigpt.core.backend import Backend, get_backend
from minigpt.core.errors import UserError
from minigpt.data.dataset import check_sources
from minigpt.distributed.join import check_same
from minigpt.distributed.nccl import on_device
from minigpt.distributed.ranks import ALONE, Ranks
from minigpt.distributed.sharing import help_first, helped
from minigpt.tokenizers import Tokenizer, fingerprint
from minigpt.tokenizers.base import check_fit
from minigpt.train.families import make_model, make_objective
from minigpt.train.run_folder import find_run, load_config, load_tokenizer
from minigpt.train.settings import RunConfig
from minigpt.train.trainer import Trainer


def make_trainer(
    folder: Path, config: RunConfig, tokenizer: Tokenizer, backend: Backend, ranks: Ranks = ALONE
) -> Trainer:
    """Put model, objective and text together."""
    check_fit(tokenizer, config.model.vocab_size)
    model = make_model(config)
    objective = make_objective(config, tokenizer)
    with helped(ranks):
        dataset = objective.load()
    return Trainer(folder, config, model, objective, dataset, backend, ranks)


def on_all_ranks(trainer: Trainer | None, ranks: Ranks) -> Trainer | None:
    """Rank 0's trainer, made again on the others of its configuration, tokenizer and text; None if that has none.

    Raises:
        UserError: a rank does not see the run's folder, or has another text, tokenizer or other operations.
    """
    if ranks.size == 1:
        return trainer
    own = None if trainer is None else (trainer.run.resolve(), trainer.config)
    told = ranks.from_first(own) if ranks.first else help_first(ranks)
    if told is None:
        return None
    ranks = on_device(ranks, told[1].train.backend)
    if trainer is None:
        folder, config = told
        if not folder.is_dir():
            raise UserError(f"rank {ranks.rank} does not see {folder}; put it on a disk that all machines share")
        trainer = make_trainer(folder, config, load_tokenizer(folder), get_backend(config.train.backend), ranks)
    trainer.ranks = ranks
    same = {"text": trainer.dataset.fingerprint, "tokenizer": fingerprint(trainer.objective.tokenizer)}
    check_same(ranks, same | {"kind of operations": trainer.chosen.name}, "")
    return trainer


def follow(ranks: Ranks, train: Callable[[Trainer], object]) -> int:
    """Train each run that rank 0 has, until it has no more; the exit status."""
    while (trainer := on_all_ranks(None, ranks)) is not None:
        train(trainer)
    return 0


def open_run(name: str, *, steps: int | None = None, data: list[str] | None = None, ranks: Ranks = ALONE) -> Trainer:
    """The trainer of a run that exists: until step `steps`, with the text at a new place, where these are given."""
    folder = find_run(name)
    config = load_config(folder)
    if steps:
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=steps))
    if data:
        sources = tuple(lasting(source) for source in data)
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, sources=sources))
    check_sources(folder, config)
    return make_trainer(folder, config, load_tokenizer(folder), get_backend(config.train.backend), ranks)


def lasting(source: str) -> str:
    """A path is kept as an absolute one, so that the run can be resumed from any folder."""
    return str(Path(source).resolve()) if Path(source).exists() else source
