"""`minigpt finetune`: train a pretrained model, under a new head, on the examples of a task."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

import numpy as np

from minigpt import __version__
from minigpt.cli.abilities import FINE_TUNE
from minigpt.cli.common import check_force, check_resume, only_text, out_path, show
from minigpt.cli.signals import stop_on_signals
from minigpt.cli.task_examples import find_task
from minigpt.cli.train import announce
from minigpt.core.errors import UserError
from minigpt.core.settings import require
from minigpt.distributed.join import join
from minigpt.distributed.ranks import Ranks
from minigpt.evaluate.finetune_run import Outcome, conclude, concluded, prepare, train
from minigpt.interop.hub import find_model
from minigpt.interop.loaded import load
from minigpt.tasks import TASKS
from minigpt.tasks.world import task_folder
from minigpt.train.finetuning import Request
from minigpt.train.opening import follow, on_all_ranks, open_run
from minigpt.train.run_folder import check_target, find_run
from minigpt.train.trainer import Trainer


def run(args: argparse.Namespace) -> int:
    ranks = join(__version__)
    if not ranks.first:
        return follow(ranks, _trained)
    status = _resume(args, ranks) if args.resume is not None else _fresh(args, ranks)
    on_all_ranks(None, ranks)  # there is no more to train
    return status


def _fresh(args: argparse.Namespace, ranks: Ranks) -> int:
    request = _request(args)
    folder = find_model(args.run_folder, FINE_TUNE)
    source = load(folder, skip=args.skip, fresh=args.fresh)
    if args.from_scratch and (args.fresh or args.skip):
        raise UserError("--from-scratch takes no pretrained weights; --fresh and --skip mean nothing with it")
    name = f"{folder.name}-{args.task}" + ("-from-scratch" if args.from_scratch else "")
    outs = _outs(args, [folder, request.folder])
    options = {name: getattr(args, name) for name in ("from_scratch", "force", "fresh", "skip")} | {"ranks": ranks}
    outcomes = []
    for seed, out in enumerate(outs, args.seed):
        trainer, start = prepare(source, request._replace(seed=seed), out, name, **options)
        print(f"new: {', '.join(start.new) or 'nothing'}", file=sys.stderr)
        if start.left_out:
            print(f"left out: {', '.join(start.left_out)}", file=sys.stderr)
        on_all_ranks(trainer, ranks)
        outcome = _trained(trainer)
        if outcome is None:
            if rest := len(outs) - len(outcomes) - 1:
                print(f"not begun: {rest} more, from --seed {seed + 1} on", file=sys.stderr)
            return 130
        outcomes.append(outcome)
    _say(args, outcomes, args.task)
    return 0


def _request(args: argparse.Namespace) -> Request:
    require(args.task is not None, f"--task is missing; choose one of {', '.join(TASKS)}")
    find_task(args.task, TASKS)
    if args.data is not None and not Path(only_text("--data", args.data)).exists():
        raise UserError(f"there is no folder {args.data}")
    folder = str(task_folder(args.task, args.data).resolve())
    return Request(args.task, folder, args.seed, args.epochs, args.examples, tuple(args.settings))


def _outs(args: argparse.Namespace, sources: list[Path | str]) -> list[Path | None]:
    """The folder of each seed's run, none of which may replace a source; None for the next free one in runs/."""
    check_force(args, "run")
    if args.out is None:
        return [None] * args.seeds
    out = out_path(args.out)
    outs = [out / f"seed-{args.seed + number}" for number in range(args.seeds)] if args.seeds > 1 else [out]
    for out in outs:
        check_target(out, force=args.force, sources=sources)
    return outs


def _trained(trainer: Trainer) -> Outcome | None:
    """Train and measure a run; None if it was stopped."""
    started = time.perf_counter()
    announce(trainer, "fine-tuning")
    with stop_on_signals() as should_stop:
        result = train(trainer, should_stop)
    if result.sample is None:
        folder = shlex.quote(str(trainer.run))
        print(f"stopped after step {result.steps}; continue with: minigpt finetune --resume {folder}", file=sys.stderr)
        return None
    return conclude(trainer, time.perf_counter() - started)


def _resume(args: argparse.Namespace, ranks: Ranks) -> int:
    check_resume(args, "run", "--data")
    folder = Path(args.resume)
    if (done := concluded(find_run(args.resume))) is not None:
        print(f"{folder} is finished, after step {done['steps']}; its numbers:", file=sys.stderr)
        print(json.dumps(done))
        return 0
    trainer = open_run(args.resume, data=[args.data] if args.data else None, ranks=ranks)
    if not trainer.config.task:
        raise UserError(f"{folder} is not a fine-tuned run; continue it with: minigpt train --resume {folder}")
    on_all_ranks(trainer, ranks)
    outcome = _trained(trainer)
    if outcome is None:
        return 130
    _say(args, [outcome], trainer.config.task)
    return 0


def _say(args: argparse.Namespace, outcomes: list[Outcome], task: str) -> None:
    """The numbers of every run and, of several, their mean and spread."""
    metric = TASKS[task].metrics[0]
    parts = [part for part in ("dev", "test") if getattr(outcomes[0], part) is not None]
    several, means = len(outcomes) > 1, {}
    for part in parts:
        x = [getattr(outcome, part)[metric] for outcome in outcomes]
        means[part] = {"mean": float(np.mean(x)), "std": float(np.std(x, ddof=int(several)))}  # of single runs
    runs, lines = [], []
    for o in outcomes:
        numbers = {"dev": o.dev, "test": o.test, "best_step": o.best, "seconds": round(o.seconds, 1)}
        runs.append({"run": str(o.run), **numbers})
        said = "; ".join(f"{part}: {sentence}" for part, sentence in o.sentences.items())
        lines.append(f"{o.run}: {task}, best after step {o.best} of {o.steps}. {said}.")
    if several:
        for part, x in means.items():
            lines.append(f"{part}: {metric} {x['mean']:.3f} ± {x['std']:.3f} over {len(outcomes)} seeds")
    show(args, {"task": task, "metric": metric, **means, "runs": runs}, "\n".join(lines))
