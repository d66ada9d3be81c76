"""`minigpt train`: train a model from a preset or a configuration file, or go on with a run."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from minigpt.cli.commands import COMMANDS
from minigpt.cli.common import at_least, new_parser, only_text, print_json
from minigpt.core.backend import get_backend
from minigpt.core.cores import available_cores
from minigpt.core.errors import UserError
from minigpt.data.corpora import corpus_names
from minigpt.data.dataset import make_tokenizer, text_files
from minigpt.train import config as configuration
from minigpt.train.families import objective_class
from minigpt.train.log import read_log
from minigpt.train.objectives.landmarks import Landmarks
from minigpt.train.opening import lasting, make_trainer, open_run
from minigpt.train.report import Result, finished_result
from minigpt.train.run_folder import (
    RUNS,
    check_target,
    create_run,
    find_run,
    locked,
    rewrite_config,
)
from minigpt.train.settings import RunConfig
from minigpt.train.trainer import Trainer

DEFAULT_PRESET = "tiny"


def add_parser(subparsers: Any) -> None:
    parser = new_parser(
        subparsers,
        "train",
        COMMANDS["train"],
        "minigpt train shakespeare-cpu --data my_texts/ --set train.steps=500 --set model.layers=6",
    )
    parser.add_argument(
        "preset",
        nargs="?",
        metavar="PRESET|CONFIG.toml",
        help=f"what to train; by default {DEFAULT_PRESET}. Presets: {', '.join(configuration.preset_names())}",
    )
    parser.add_argument(
        "--data",
        action="append",
        metavar="FILE|DIR|NAME",
        help=f"a UTF-8 text, a folder of them, or a corpus ({', '.join(corpus_names())}); may be repeated",
    )
    parser.add_argument(
        "--tokenizer",
        metavar="KIND|FILE",
        help="char, byte, bpe:SIZE, wordpiece:SIZE, gpt:SIZE, or a tokenizer's file or folder",
    )
    parser.add_argument("--out", metavar="DIR", help="the run's folder; by default runs/PRESET-N")
    parser.add_argument("--force", action="store_true", help="replace the run in --out if there is one")
    parser.add_argument("--resume", metavar="RUN", help="go on with this run from its newest checkpoint")
    parser.add_argument("--steps", type=at_least(1), metavar="N", help="train until step N")
    parser.add_argument("--seed", type=at_least(0), metavar="N", help="of initial weights, batches and dropout")
    parser.add_argument("--backend", choices=("numpy", "cupy"), help="where to compute; by default numpy")
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change one setting of the preset, such as optimizer.weight_decay=0; may be repeated",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    resumed = args.resume is not None
    if resumed:
        _check_resuming(args)
        done = None if args.data else finished_result(find_run(args.resume), args.steps)
        if done is not None:
            longer = f"minigpt train --resume {shlex.quote(str(done.run))} --steps {2 * done.steps}"
            print(f"{done.run} is finished; use --steps to go on, such as: {longer}", file=sys.stderr)
            return _say(args, done)
    trainer = open_run(args.resume, steps=args.steps, data=args.data) if resumed else _fresh(args)
    with locked(trainer.run):
        trainer.resume()
        if resumed:
            rewrite_config(trainer.run, trainer.config)  # only now is it sure that the run goes on with it
        print(_opening(trainer, resumed=resumed), file=sys.stderr)
        with stop_on_signals() as should_stop:
            result = trainer.train(should_stop=should_stop)
        _draw_curves(result.run)
    return _say(args, result)


def _say(args: argparse.Namespace, result: Result) -> int:
    """Print what a run came to, and how to go on with it; the command's exit status."""
    finished = result.sample is not None
    folder = shlex.quote(str(result.run))
    if not finished:
        print(f"stopped after step {result.steps}; go on with: minigpt train --resume {folder}", file=sys.stderr)
    if args.json:
        values = result._replace(run=str(result.run))._asdict()
        del values["sample"]
        print_json(values | (values.pop("landmarks") or {}))
    elif finished:
        speed = f", {result.tokens_per_second:,.0f} tokens/s" if result.tokens_per_second else ""
        print(result.sample.strip())
        marks = Landmarks(result.landmarks["ngram"], result.landmarks["floor"]) if result.landmarks else None
        between = f" ({marks.sentence(result.val_loss)})" if marks else ""
        print(f"\n{result.run}: {result.steps} steps, validation loss {result.val_loss:.4f}{between}{speed}.", end=" ")
        print(f"More text: minigpt sample {folder}")
    return 0 if finished else 130


def _config_from_arguments(args: argparse.Namespace) -> RunConfig:
    values = configuration.read_preset(DEFAULT_PRESET if args.preset is None else args.preset)
    arguments = {
        "data.sources": None if args.data is None else [only_text("--data", source) for source in args.data],
        "data.tokenizer": args.tokenizer,
        "train.steps": args.steps,
        "train.seed": args.seed,
        "train.backend": args.backend,
    }
    values = configuration.apply_settings(values, args.settings)
    if os.environ.get("MINIGPT_BACKEND"):
        values.setdefault("train", {}).setdefault("backend", os.environ["MINIGPT_BACKEND"])
    for name, value in arguments.items():
        if value is not None:
            section, key = name.split(".")
            values.setdefault(section, {})[key] = value
    return configuration.build_config(values)


def _fresh(args: argparse.Namespace) -> Trainer:
    """Make a new run folder with its first checkpoint."""
    if args.force and args.out is None:
        raise UserError("--force replaces the run in --out; name it with --out")
    config = _config_from_arguments(args)
    backend = get_backend(config.train.backend)
    folder = None if args.out is None else _out_folder(args.out)
    if folder:
        check_target(folder, force=args.force, sources=config.data.sources)
    special = objective_class(config.family, config.task).special_tokens(config)
    tokenizer = make_tokenizer(config.data.tokenizer, text_files(config.data.sources), special)
    config = _completed(config, tokenizer.vocab_size)
    preset = args.preset or DEFAULT_PRESET
    trainer = make_trainer(folder or RUNS / preset, config, tokenizer, backend)
    trainer.start()
    trainer.run = create_run(folder, preset, config, tokenizer, trainer.save, force=args.force)
    return trainer


def _out_folder(name: str) -> Path:
    if not only_text("--out", name):
        raise UserError("--out is empty; name a folder that does not exist yet")
    return Path(name)


def _completed(config: RunConfig, vocab_size: int) -> RunConfig:
    """Put in what the configuration leaves to the machine and the text, so that the run's file says all."""
    model, train, data = config.model, config.train, config.data
    workers = train.workers or (available_cores() if train.backend == "numpy" else 1)
    return dataclasses.replace(
        config,
        model=dataclasses.replace(model, vocab_size=model.vocab_size or vocab_size),
        train=dataclasses.replace(train, workers=min(workers, max(available_cores(), train.batch))),
        data=dataclasses.replace(data, sources=tuple(lasting(source) for source in data.sources)),
    )


def _check_resuming(args: argparse.Namespace) -> None:
    """Raise UserError for arguments that make another run than the one that is to go on."""
    given = {"--out": args.out, "--force": args.force or None, "--seed": args.seed, "--set": args.settings or None}
    given |= {"--tokenizer": args.tokenizer, "--backend": args.backend, "a preset": args.preset}
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise UserError(
            f"--resume goes on with a run as it is; {wrong[0]} cannot be given with it (only --steps, --data)"
        )


def _opening(trainer: Trainer, *, resumed: bool) -> str:
    c = trainer.config.train
    verb = f"resuming at step {trainer.state.step}" if resumed else "training"
    return (
        f"{trainer.run}: {verb}; {trainer.model.parameter_count:,} parameters, "
        f"{trainer.objective.about(trainer.dataset)}, {c.steps} steps of {c.batch * c.accumulation} rows, "
        f"{c.workers} workers, {c.backend}"
    )


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C (and a polite kill) end training after the step at hand; a second Ctrl-C ends it at once."""
    caught: list[int] = []

    def stop(number: int, frame: Any) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)
        print("\nfinishing this step, then saving (press Ctrl-C again to stop without saving)", file=sys.stderr)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _draw_curves(run: Path) -> None:
    from minigpt.lab import plot  # matplotlib takes a second to import

    if any("loss" in line for line in read_log(run)):  # not if it was stopped before the first step
        plot.save_figure(plot.training_figure(run), run / "curves.png")
