"""`minigpt train`: train a model from a preset or a configuration file, or go on with a run."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from minigpt import config as configuration
from minigpt import tokenizers
from minigpt.api import check_fit
from minigpt.backend import get_backend
from minigpt.commands.common import at_least, new_parser, only_text, print_json
from minigpt.config import RunConfig
from minigpt.data.dataset import load_dataset
from minigpt.errors import UserError
from minigpt.models import FAMILIES
from minigpt.train.checkpoint import latest_checkpoint
from minigpt.train.log import SAMPLES
from minigpt.train.run_folder import (
    check_target,
    create_run,
    find_run,
    load_config,
    locked,
    next_run,
    rewrite_config,
)
from minigpt.train.shards import available_cores
from minigpt.train.trainer import Result, Trainer


def add_parser(subparsers: Any) -> None:
    parser = new_parser(
        subparsers,
        "train",
        "train a model and print samples of what it writes",
        "minigpt train shakespeare-cpu --data my_texts/ --set train.steps=500 --set model.layers=6",
    )
    parser.add_argument(
        "preset",
        nargs="?",
        metavar="PRESET|CONFIG.toml",
        help=f"what to train; by default tiny. Presets: {', '.join(configuration.preset_names())}",
    )
    parser.add_argument(
        "--data",
        action="append",
        metavar="FILE|DIR|NAME",
        help="a UTF-8 text, a folder of them, or a corpus (python-reference, tinyshakespeare); may be repeated",
    )
    parser.add_argument("--tokenizer", metavar="KIND|FILE", help="char, byte, or a tokenizer file")
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
    trainer = _resumed(args) if args.resume else _fresh(args)
    with locked(trainer.run):
        trainer.resume(latest_checkpoint(trainer.run))
        print(_opening(trainer, resumed=bool(args.resume)), file=sys.stderr)
        with _stop_on_signals() as should_stop:
            result = trainer.train(should_stop=should_stop)
        _draw_curves(result.run)
    if not result.finished:
        print(
            f"stopped after step {result.steps}; go on with: minigpt train --resume {result.run}",
            file=sys.stderr,
        )
    if args.json:
        values = result._replace(run=str(result.run))._asdict()
        del values["finished"]
        print_json(values)
    elif result.finished:
        _print_result(result)
    return 0 if result.finished else 130


def _config_from_arguments(args: argparse.Namespace) -> RunConfig:
    values = configuration.read_preset(args.preset or "tiny")
    arguments = {
        "data.sources": args.data and [only_text("--data", source) for source in args.data],
        "data.tokenizer": args.tokenizer,
        "train.steps": args.steps,
        "train.seed": args.seed,
        "train.backend": args.backend,
    }
    values = configuration.apply_settings(values, args.settings)
    for name, value in arguments.items():
        if value is not None:
            section, key = name.split(".")
            values.setdefault(section, {})[key] = value
    return configuration.build_config(values)


def _fresh(args: argparse.Namespace) -> Trainer:
    """Make a new run folder with its first checkpoint."""
    config = _config_from_arguments(args)
    backend = get_backend(args.backend or (None if config.train.backend == "numpy" else config.train.backend))
    folder = Path(args.out) if args.out else None
    if folder:
        check_target(folder, force=args.force)
    dataset = load_dataset(
        config.data.sources,
        config.data.tokenizer,
        validation_fraction=config.data.validation_fraction,
        context=config.model.context,
    )
    config = _completed(config, dataset.tokenizer.vocab_size, backend.name)
    check_fit(dataset.tokenizer, config.model.vocab_size)
    model = FAMILIES[config.family][1](config.model)
    folder = folder or next_run(args.preset or "tiny")
    trainer = Trainer(folder, config, model, dataset, backend)
    trainer.start()
    create_run(folder, config, dataset.tokenizer, trainer.save, force=args.force)
    return trainer


def _completed(config: RunConfig, vocab_size: int, backend: str) -> RunConfig:
    """Put in what the configuration leaves to the machine and the text, so that the run's file says all."""
    model, train, data = config.model, config.train, config.data
    rows = train.batch
    return dataclasses.replace(
        config,
        model=dataclasses.replace(model, vocab_size=model.vocab_size or vocab_size),
        train=dataclasses.replace(
            train, backend=backend, workers=train.workers or (min(available_cores(), rows) if backend == "numpy" else 1)
        ),
        data=dataclasses.replace(data, sources=tuple(_lasting(source) for source in data.sources)),
    )


def _lasting(source: str) -> str:
    """A path is kept as an absolute one, so that the run can be resumed from any folder."""
    return str(Path(source).resolve()) if Path(source).exists() else source


def _resumed(args: argparse.Namespace) -> Trainer:
    """Open a run to go on with."""
    given = {"--out": args.out, "--force": args.force, "--seed": args.seed is not None, "--set": args.settings}
    given |= {"--tokenizer": args.tokenizer, "--backend": args.backend, "a preset": args.preset}
    wrong = [name for name, value in given.items() if value]
    if wrong:
        raise UserError(
            f"--resume goes on with a run as it is; {wrong[0]} cannot be given with it (only --steps, --data)"
        )
    folder = find_run(args.resume)
    config = load_config(folder)
    if args.steps:
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=args.steps))
    if args.data:
        sources = tuple(_lasting(source) for source in args.data)
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, sources=sources))
    tokenizer = tokenizers.load(folder)
    check_fit(tokenizer, config.model.vocab_size)
    dataset = load_dataset(
        config.data.sources,
        tokenizer,
        validation_fraction=config.data.validation_fraction,
        context=config.model.context,
    )
    backend = get_backend(config.train.backend)
    if args.steps or args.data:
        rewrite_config(folder, config)
    return Trainer(folder, config, FAMILIES[config.family][1](config.model), dataset, backend)


def _opening(trainer: Trainer, *, resumed: bool) -> str:
    model, config, data = trainer.model, trainer.config, trainer.dataset
    c = config.train
    verb = f"resuming at step {trainer.step}" if resumed else "training"
    return (
        f"{trainer.run}: {verb}; {model.parameter_count:,} parameters, {len(data.train):,} training tokens "
        f"({data.tokenizer.vocab_size} different), {c.steps} steps of {c.batch * c.accumulation} x "
        f"{model.config.context} tokens, {c.workers} workers, {c.backend}"
    )


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[Callable[[], bool]]:
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
    from minigpt import plot  # matplotlib takes a second to import

    with contextlib.suppress(UserError):  # stopped before the first step: nothing to draw
        plot.save_figure(plot.training_figure(run), run / "curves.png")


def _print_result(result: Result) -> None:
    print((result.run / SAMPLES).read_text(encoding="utf-8").rpartition("--- step ")[2].partition("---\n")[2].strip())
    speed = f", {result.tokens_per_second:,.0f} tokens/s" if result.tokens_per_second else ""
    loss = f"validation loss {result.val_loss:.4f}" if result.val_loss is not None else "no validation"
    print(f"\n{result.run}: {result.steps} steps, {loss}{speed}. More text: minigpt sample {result.run}")
