"""`minigpt finetune`: train a pretrained model, under a new head, on the examples of a task."""

from __future__ import annotations

import argparse
import difflib
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from minigpt.cli.abilities import FINE_TUNE
from minigpt.cli.commands import COMMANDS
from minigpt.cli.common import add_run_argument, at_least, new_parser, only_text, print_json
from minigpt.cli.train import stop_on_signals
from minigpt.core.errors import UserError
from minigpt.evaluate.finetune_run import Outcome, conclude, concluded, prepare, train
from minigpt.interop.loaded import Loaded, load
from minigpt.tasks import TASKS
from minigpt.train.finetuning import Request
from minigpt.train.opening import open_run
from minigpt.train.run_folder import check_target, find_model, find_run
from minigpt.train.trainer import Trainer


def add_parser(subparsers: Any) -> None:
    parser = new_parser(
        subparsers,
        "finetune",
        COMMANDS["finetune"],
        "minigpt finetune runs/tiny-1 --task rte --data glue_data/RTE --seeds 3",
    )
    add_run_argument(parser, also="; or any model that convert reads")
    parser.add_argument("--task", metavar="NAME", help=f"one of {', '.join(TASKS)}")
    parser.add_argument(
        "--data", metavar="DIR", help="the folder with the task's files; by default the story world's own"
    )
    parser.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="of new weights, batches and dropout")
    parser.add_argument(
        "--seeds", type=at_least(1), default=1, metavar="N", help="train N times, with seeds from --seed on"
    )
    parser.add_argument("--epochs", type=at_least(1), metavar="N", help="by default what the model's recipe says")
    parser.add_argument(
        "--examples", type=at_least(1), default=0, metavar="N", help="learn from N training examples only"
    )
    parser.add_argument("--from-scratch", action="store_true", help="the same model without the pretrained weights")
    parser.add_argument(
        "--out", metavar="DIR", help="the run's folder (with --seeds, of the runs); by default runs/RUN-TASK-N"
    )
    parser.add_argument("--force", action="store_true", help="replace the run in --out if there is one")
    parser.add_argument("--resume", metavar="RUN", help="go on with a fine-tuning that was stopped")
    parser.add_argument(
        "--fresh",
        action="append",
        default=[],
        metavar="NAME",
        help="weights that may start anew, by beginnings of names",
    )
    parser.add_argument(
        "--skip", action="append", default=[], metavar="NAME", help="pretrained weights that may be left out"
    )
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="change one setting, such as objective.auxiliary=0 or schedule.peak=3e-4; may be repeated",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.resume is not None:
        return _resume(args)
    request = _request(args)
    folder = find_model(args.run_folder, FINE_TUNE)
    source = load(folder, skip=args.skip, fresh=args.fresh)
    if args.from_scratch and (args.fresh or args.skip):
        raise UserError("--from-scratch takes no pretrained weights; --fresh and --skip mean nothing with it")
    name = f"{folder.name}-{args.task}" + ("-from-scratch" if args.from_scratch else "")
    outs = _outs(args, [folder, request.folder])
    outcomes = []
    for number, out in enumerate(outs):
        one = request._replace(seed=args.seed + number)
        outcome = _one(args, source, one, out, name)
        if outcome is None:
            if rest := len(outs) - number - 1:
                print(f"not begun: {rest} more, from --seed {one.seed + 1} on", file=sys.stderr)
            return 130
        outcomes.append(outcome)
    _say(args, outcomes, args.task)
    return 0


def _request(args: argparse.Namespace) -> Request:
    if args.task is None:
        raise UserError(f"--task is missing; choose one of {', '.join(TASKS)}")
    if args.task not in TASKS:
        near = difflib.get_close_matches(args.task, TASKS, 1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(TASKS)}"
        raise UserError(f"unknown task {args.task!r}: {hint}")
    return Request(args.task, _folder(args), args.seed, args.epochs, args.examples, tuple(args.settings))


def _folder(args: argparse.Namespace) -> str:
    """Where the task's files are."""
    from minigpt.tasks.world import task_folder

    if args.data is not None and not Path(only_text("--data", args.data)).exists():
        raise UserError(f"there is no folder {args.data}")
    return str(task_folder(args.task, args.data).resolve())


def _outs(args: argparse.Namespace, sources: list[Path | str]) -> list[Path | None]:
    """The folder of each seed's run, none of which may replace a source; None for the next free one in runs/."""
    if args.force and args.out is None:
        raise UserError("--force replaces the run in --out; name it with --out")
    if args.out is None:
        return [None] * args.seeds
    if not only_text("--out", args.out):
        raise UserError("--out is empty; name a folder that does not exist yet")
    outs = [Path(args.out)]
    if args.seeds > 1:
        outs = [Path(args.out) / f"seed-{args.seed + number}" for number in range(args.seeds)]
    for out in outs:
        check_target(out, force=args.force, sources=sources)
    return outs


def _one(args: argparse.Namespace, source: Loaded, request: Request, out: Path | None, name: str) -> Outcome | None:
    """One seed's run; None if it was stopped."""
    options = {"from_scratch": args.from_scratch, "force": args.force, "fresh": args.fresh, "skip": args.skip}
    trainer, start = prepare(source, request, out, name, **options)
    print(f"new: {', '.join(start.new) or 'nothing'}", file=sys.stderr)
    if start.left_out:
        print(f"left out: {', '.join(start.left_out)}", file=sys.stderr)
    return _trained(trainer)


def _trained(trainer: Trainer) -> Outcome | None:
    c, started = trainer.config.train, time.perf_counter()
    print(
        f"{trainer.run}: fine-tuning; {trainer.model.parameter_count:,} parameters, "
        f"{trainer.objective.about(trainer.dataset)}, {c.steps} steps of {c.batch * c.accumulation} rows, "
        f"{c.workers} workers, {c.backend}",
        file=sys.stderr,
    )
    with stop_on_signals() as should_stop:
        result = train(trainer, should_stop)
    if result.sample is None:
        folder = shlex.quote(str(trainer.run))
        print(f"stopped after step {result.steps}; go on with: minigpt finetune --resume {folder}", file=sys.stderr)
        return None
    return conclude(trainer, time.perf_counter() - started)


def _resume(args: argparse.Namespace) -> int:
    given = {"RUN": args.run_folder, "--task": args.task, "--epochs": args.epochs, "--out": args.out}
    given |= {"--examples": args.examples or None, "--set": args.settings or None, "--force": args.force or None}
    given |= {"--from-scratch": args.from_scratch or None, "--seeds": None if args.seeds == 1 else args.seeds}
    if wrong := [name for name, value in given.items() if value is not None]:
        raise UserError(f"--resume goes on with a run as it is; {wrong[0]} cannot be given with it (only --data)")
    folder = Path(args.resume)
    if (done := concluded(find_run(args.resume))) is not None:
        print(f"{folder} is finished, after step {done['steps']}; its numbers:", file=sys.stderr)
        print_json(done)
        return 0
    trainer = open_run(args.resume, data=[args.data] if args.data else None)
    if not trainer.config.task:
        raise UserError(f"{folder} is not a fine-tuned run; go on with it by minigpt train --resume {folder}")
    outcome = _trained(trainer)
    if outcome is None:
        return 130
    _say(args, [outcome], trainer.config.task)
    return 0


def _say(args: argparse.Namespace, outcomes: list[Outcome], task: str) -> None:
    """The numbers of every run and, of several, their mean and spread."""
    metric = TASKS[task].metrics[0]
    parts = [part for part in ("dev", "test") if getattr(outcomes[0], part) is not None]
    values = {part: [getattr(outcome, part)[metric] for outcome in outcomes] for part in parts}
    if args.json:
        runs = [
            {"run": str(o.run), "dev": o.dev, "test": o.test, "best_step": o.best, "seconds": round(o.seconds, 1)}
            for o in outcomes
        ]
        means = {part: {"mean": float(np.mean(x)), "std": _spread(x)} for part, x in values.items()}
        print_json({"task": task, "metric": metric, **means, "runs": runs})
        return
    for outcome in outcomes:
        said = "; ".join(f"{part}: {sentence}" for part, sentence in outcome.sentences.items())
        print(f"{outcome.run}: {task}, best after step {outcome.best} of {outcome.steps}. {said}.")
    if len(outcomes) > 1:
        for part, x in values.items():
            print(f"{part}: {metric} {np.mean(x):.3f} ± {_spread(x):.3f} over {len(x)} seeds")


def _spread(values: list[float]) -> float:
    """The standard deviation of single runs."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
