"""`minigpt eval`: a trained model's loss on a whole text."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from minigpt.cli.commands import COMMANDS
from minigpt.cli.common import add_run_argument, new_parser, print_json
from minigpt.core.errors import UserError

_ROWS = 16  # of a batch


def add_parser(subparsers: Any) -> None:
    parser = new_parser(
        subparsers,
        "eval",
        COMMANDS["eval"],
        "minigpt eval runs/tiny-1 --data my_text.txt",
    )
    add_run_argument(parser, also="; or any model that convert reads")
    parser.add_argument(
        "--data",
        action="append",
        metavar="FILE|DIR|NAME",
        help="the text, all of it; by default the validation part of the text that the run was trained on. Bits per "
        "byte divide by the bytes of the files themselves (what wc -c counts): all of them but those of the first "
        "token's characters, which nothing stands before, and of the lines between documents",
    )
    parser.add_argument("--split", help="of a fine-tuned model's task, the part to measure: train, dev or test")
    parser.add_argument(
        "--baseline", action="store_true", help="also measure a model that only counts, made from the training text"
    )
    parser.add_argument("--backend", choices=("numpy", "cupy"), help="where to compute; by default numpy")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from minigpt.blocks.dispatch import operations
    from minigpt.cli.abilities import MEASURE, MEASURE_TASK, MEASURE_TEXT
    from minigpt.core.backend import get_backend
    from minigpt.core.cores import available_cores
    from minigpt.core.progress import progress_bar
    from minigpt.data.dataset import check_sources
    from minigpt.interop.loaded import load
    from minigpt.train.families import make_objective
    from minigpt.train.passes import Passes
    from minigpt.train.run_folder import find_model
    from minigpt.train.threads import ThreadPool

    ability = MEASURE_TASK if args.split else MEASURE_TEXT if args.data else MEASURE
    folder = find_model(args.run_folder, ability)
    backend = get_backend(args.backend)
    loaded = load(folder, backend=backend.name)
    objective = make_objective(loaded.config, loaded.text)
    if args.baseline and not objective.has_baseline:
        what = f"the task {loaded.config.task}" if loaded.config.task else f"the family {loaded.config.family}"
        raise UserError(f"there is no --baseline for {what}")
    if args.split and not loaded.config.task:
        raise UserError(f"--split is for fine-tuned models; {folder} was trained on no task")
    if args.data and loaded.config.task:
        from minigpt.tasks.world import task_folder

        args.data = [str(task_folder(loaded.config.task, name)) for name in args.data]
    own = args.baseline or not (args.data or args.split)
    dataset = _training_text(folder, loaded.config, objective) if own else None
    if args.split:
        check_sources(folder, loaded.config) if not args.data else None
        data = objective.read(args.data or loaded.config.data.sources, args.split)
    else:
        data = objective.read(args.data) if args.data else dataset.validation
    batches = objective.evaluation_batches(data, _ROWS)
    passes = Passes(operations("auto", backend), backend=backend)
    workers = available_cores() if backend.name == "numpy" else 1
    with (
        ThreadPool(workers) as threads,
        progress_bar(total=len(batches), unit="batch", leave=False) as bar,
    ):
        how = {"threads": threads, "passes": passes, "on_batch": bar.update, "final": True}
        score = objective.evaluate(loaded.model, loaded.params, batches, **how)
    if not math.isfinite(score.loss):
        raise UserError(f"the loss of {folder} on this text is {score.loss}: its training went wrong")
    values, sentence = objective.report(score, data)
    if args.baseline:
        more, line = objective.baseline(dataset.train, score, batches, data)
        values, sentence = values | more, f"{sentence}\n{line}"
    if args.json:
        print_json(values | score.measures)
    else:
        print(sentence)
    return 0


def _training_text(folder: Path, config: Any, objective: Any) -> Any:
    """The text that the run was trained on, with its validation part."""
    from minigpt.data.dataset import check_sources
    from minigpt.train.checkpoint import latest_checkpoint, load_state
    from minigpt.train.run_folder import is_run
    from minigpt.train.trainer import check_same_text

    state = load_state(latest_checkpoint(folder)) if is_run(folder) else {"data": None}
    if state["data"] is None:
        raise UserError(f"{folder} was not trained here: give the text to measure it on with --data")
    check_sources(folder, config)
    dataset = objective.load()
    check_same_text(dataset, state, folder)
    return dataset
