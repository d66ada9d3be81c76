"""`minigpt train`: train a model from a preset or a configuration file, or go on with a run."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
import sys
from pathlib import Path

from minigpt import __version__
from minigpt.cli.arguments.training import DEFAULT_PRESET
from minigpt.cli.common import check_force, check_resume, only_text, out_path
from minigpt.cli.signals import stop_on_signals
from minigpt.core.backend import get_backend
from minigpt.core.cores import available_cores
from minigpt.core.errors import warn
from minigpt.core.terminal import for_stream
from minigpt.data.dataset import make_tokenizer, text_files
from minigpt.distributed.join import join
from minigpt.distributed.ranks import Ranks
from minigpt.train import config as configuration
from minigpt.train.families import objective_class
from minigpt.train.log import last_losses
from minigpt.train.objectives.landmarks import Landmarks
from minigpt.train.opening import lasting, make_trainer, on_all_ranks, open_run
from minigpt.train.report import Result, finished_result
from minigpt.train.run_folder import RUNS, check_target, create_run, find_run, locked, rewrite_config
from minigpt.train.settings import RunConfig
from minigpt.train.trainer import Trainer

_FEW = 8  # shards that small batches may be cut into as well, so that runs of several ranks can have them


def run(args: argparse.Namespace) -> int:
    ranks = join(__version__)
    trainer = on_all_ranks(_opened(args, ranks) if ranks.first else None, ranks)
    if trainer is None:  # there is nothing left to do
        return 0
    resumed = args.resume is not None
    with locked(trainer.run) if ranks.first else contextlib.nullcontext():
        trainer.resume()
        if resumed and ranks.first:
            rewrite_config(trainer.run, trainer.config)  # only now is it sure that the run goes on with it
        announce(trainer, f"resuming at step {trainer.state.step}" if resumed else "training")
        with stop_on_signals() as should_stop:
            result = trainer.train(should_stop=should_stop)
        if not ranks.first:
            return 0 if result.sample is not None else 130
        _draw(result.run)
    return _say(args, result)


def _draw(run: Path) -> None:
    try:
        _draw_curves(run)
    except Exception as error:  # the run is trained and saved, whatever becomes of its picture
        warn(f"no curves were drawn: {' '.join(str(error).split())}")


def _opened(args: argparse.Namespace, ranks: Ranks) -> Trainer | None:
    """The trainer of a new run, or of the one to go on with; None if that is finished, which is said."""
    if args.resume is not None:
        check_resume(args, "run", "--steps", "--data")
        done = None if args.data else finished_result(find_run(args.resume), args.steps)
        if done is not None:
            longer = f"minigpt train --resume {shlex.quote(str(done.run))} --steps {2 * done.steps}"
            print(f"{done.run} is finished; use --steps to go on, such as: {longer}", file=sys.stderr)
            _say(args, done)
            return None
        return open_run(args.resume, steps=args.steps, data=args.data, ranks=ranks)
    return _fresh(args, ranks)


def _say(args: argparse.Namespace, result: Result) -> int:
    """Print what a run came to, and how to go on with it; the command's exit status."""
    finished = result.sample is not None
    folder = shlex.quote(str(result.run))
    if not finished:
        print(f"stopped after step {result.steps}; continue with: minigpt train --resume {folder}", file=sys.stderr)
    if args.json:
        values = result._replace(run=str(result.run))._asdict()
        del values["sample"]
        print(json.dumps(values | (values.pop("landmarks") or {})))
    elif finished:
        speed = f", {result.tokens_per_second:,.0f} tokens/s" if result.tokens_per_second else ""
        print(for_stream(result.sample.strip(), sys.stdout))
        marks = Landmarks(result.landmarks["ngram"], result.landmarks["floor"]) if result.landmarks else None
        between = f" ({marks.sentence(result.val_loss)})" if marks else ""
        print(f"\n{result.run}: {result.steps} steps, validation loss {result.val_loss:.4f}{between}{speed}.", end=" ")
        print(f"More text: minigpt sample {folder}")
    return 0 if finished else 130


def _config_from_arguments(args: argparse.Namespace) -> RunConfig:
    values = configuration.read_preset(DEFAULT_PRESET if args.preset is None else args.preset)
    arguments = {
        "data.sources": [only_text("--data", source) for source in args.data] or None,
        "data.tokenizer": args.tokenizer,
        "train.steps": args.steps,
        "train.seed": args.seed,
        "train.backend": args.backend,
        "optimizer.name": args.optimizer,
    }
    values = configuration.apply_settings(values, args.settings)
    if os.environ.get("MINIGPT_BACKEND"):
        values.setdefault("train", {}).setdefault("backend", os.environ["MINIGPT_BACKEND"])
    for name, value in arguments.items():
        if value is not None:
            section, key = name.split(".")
            values.setdefault(section, {})[key] = value
    return configuration.build_config(values)


def _fresh(args: argparse.Namespace, ranks: Ranks) -> Trainer:
    """Make a new run folder with its first checkpoint."""
    check_force(args, "run")
    config = _config_from_arguments(args)
    backend = get_backend(config.train.backend)
    folder = None if args.out is None else out_path(args.out)
    if folder:
        check_target(folder, force=args.force, sources=config.data.sources)
    special = objective_class(config.family, config.task).special_tokens(config)
    tokenizer = make_tokenizer(config.data.tokenizer, text_files(config.data.sources), special)
    config = _completed(config, tokenizer.vocab_size, ranks.size)
    preset = args.preset or DEFAULT_PRESET
    trainer = make_trainer(folder or RUNS / preset, config, tokenizer, backend, ranks)
    trainer.start()
    trainer.run = create_run(folder, preset, config, tokenizer, trainer.save_in, force=args.force)
    return trainer


def _completed(config: RunConfig, vocab_size: int, ranks: int) -> RunConfig:
    """Put in what the configuration leaves to the machine and the text, so that the run's file says all."""
    model, train, data = config.model, config.train, config.data
    cores = available_cores() if train.backend == "numpy" and ranks == 1 else ranks
    workers = train.workers or cores
    return dataclasses.replace(
        config,
        model=dataclasses.replace(model, vocab_size=model.vocab_size or vocab_size),
        train=dataclasses.replace(train, workers=min(workers, max(available_cores(), ranks, train.batch, _FEW))),
        data=dataclasses.replace(data, sources=tuple(lasting(source) for source in data.sources)),
    )


def announce(trainer: Trainer, what: str) -> None:
    """Say on stderr what is about to be trained."""
    c = trainer.config.train
    print(
        f"{trainer.run}: {what}; {trainer.model.parameter_count:,} parameters, "
        f"{trainer.objective.about(trainer.dataset)}, {c.steps} steps of {c.batch * c.accumulation} rows, "
        f"{c.workers} workers, {c.backend}",
        file=sys.stderr,
    )


def _draw_curves(run: Path) -> None:
    from minigpt.lab import plot  # matplotlib takes a second to import

    if last_losses(run, 1):  # not if it was stopped before the first step
        plot.save_figure(plot.training_figure(run), run / "curves.png")
