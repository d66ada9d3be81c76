"""`minigpt eval`: a trained model's loss on a whole text."""

from __future__ import annotations

import argparse
import dataclasses
import math
from functools import partial
from pathlib import Path
from typing import Any

from minigpt import __version__
from minigpt.cli.abilities import MEASURE, MEASURE_TASK, MEASURE_TEXT
from minigpt.cli.common import show
from minigpt.core.backend import get_backend
from minigpt.core.cores import available_cores
from minigpt.core.errors import UserError
from minigpt.core.progress import progress_bar
from minigpt.core.settings import require
from minigpt.data.dataset import check_sources
from minigpt.distributed.join import join
from minigpt.distributed.sharing import after_first
from minigpt.interop.hub import find_model
from minigpt.interop.loaded import Loaded, load
from minigpt.tasks.world import task_folder
from minigpt.train.checkpoint import latest_checkpoint, load_state
from minigpt.train.families import make_objective
from minigpt.train.passes import quick_passes
from minigpt.train.ranked import pool
from minigpt.train.run_folder import is_run
from minigpt.train.settings import RunConfig
from minigpt.train.trainer import check_same_text

_ROWS, _TOKENS = 16, 2048  # of a batch, at most: with 49,152 scores each, 1,024 tokens take a gigabyte


def run(args: argparse.Namespace) -> None:
    ranks = join(__version__)
    folder = find_model(args.run_folder, MEASURE_TASK if args.split else MEASURE_TEXT if args.data else MEASURE)
    backend = get_backend(args.backend)
    loaded = load(folder, backend=backend.name, weights=args.weights)
    config = loaded.config if args.context is None else _in_windows(loaded.config, args.context)
    objective = make_objective(config, loaded.text)
    _check(args, folder, loaded, objective)
    dataset, data = after_first(ranks, partial(_texts, args, folder, loaded.config, objective))
    rows = max(1, min(_ROWS, _TOKENS // objective.config.model.context))
    batches = objective.evaluation_batches(data, rows)
    workers = available_cores() if backend.name == "numpy" else 1
    total = -(-len(batches) // ranks.size)
    with pool(ranks, workers) as threads, progress_bar(total=total, unit="batch", leave=False) as bar:
        how = {"threads": threads, "passes": quick_passes(loaded.params), "on_batch": bar.update, "final": True}
        score = objective.evaluate(loaded.model, loaded.params, batches, **how)
    require(math.isfinite(score.loss), f"the loss of {folder} on this text is {score.loss}: its training went wrong")
    values, sentence = objective.report(score, data)
    if args.baseline:
        more, line = objective.baseline(dataset.train, score, batches, data)
        values, sentence = values | more, f"{sentence}\n{line}"
    show(args, values | score.measures, sentence)


def _in_windows(config: RunConfig, tokens: int) -> RunConfig:
    """The configuration by which a text is cut into shorter windows than the model's context."""
    require(tokens <= config.model.context, f"--context is {tokens}, but the model's context is {config.model.context}")
    return dataclasses.replace(config, model=dataclasses.replace(config.model, context=tokens))


def _check(args: argparse.Namespace, folder: Path, loaded: Loaded, objective: Any) -> None:
    task = loaded.config.task
    if args.baseline and not objective.has_baseline:
        raise UserError(
            f"there is no --baseline for the {f'task {task}' if task else f'family {loaded.config.family}'}"
        )
    if args.split and not task:
        raise UserError(f"--split is for fine-tuned models; {folder} was trained on no task")


def _texts(args: argparse.Namespace, folder: Path, config: Any, objective: Any) -> tuple[Any, Any]:
    """The text that the run was trained on, where it is needed, and what is to be measured."""
    own = args.baseline or not (args.data or args.split)
    dataset = _training_text(folder, config, objective) if own else None
    return dataset, _measured(args, folder, config, objective) if args.data or args.split else dataset.validation


def _measured(args: argparse.Namespace, folder: Path, config: Any, objective: Any) -> Any:
    """The text that was asked for, or the part of the task."""
    sources = [str(task_folder(config.task, name)) for name in args.data] if config.task else args.data
    if not args.split:
        return objective.read(sources)
    if not sources:
        check_sources(folder, config)
    return objective.read(sources or config.data.sources, args.split)


def _training_text(folder: Path, config: Any, objective: Any) -> Any:
    """The text that the run was trained on, with its validation part."""
    state = load_state(latest_checkpoint(folder)) if is_run(folder) else {"data": None}
    if state["data"] is None:
        raise UserError(
            f"{folder} does not say which text it was trained on: name one to measure it on, as in --data storyworld"
        )
    check_sources(folder, config)
    dataset = objective.load()
    check_same_text(dataset, state, folder)
    return dataset
