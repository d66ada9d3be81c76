"""`minigpt scaling`: train a family of sizes, fit laws to their losses, and check what the laws predict."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from minigpt import __version__
from minigpt.cli.common import check_resume, only_text, out_path, show
from minigpt.cli.signals import stop_on_signals
from minigpt.core.errors import UserError
from minigpt.data.corpora import DEFAULT
from minigpt.distributed.join import join
from minigpt.lab.scaling import SIZES, Family, open_family, start_family, train_family
from minigpt.lab.scaling.family import CONTEXT, Member, story_kind
from minigpt.lab.scaling.laws import solver
from minigpt.train.opening import follow, on_all_ranks
from minigpt.train.run_folder import next_run
from minigpt.train.trainer import Trainer

TOKENS = 1_600_000


def run(args: argparse.Namespace) -> int:
    ranks = join(__version__)
    if not ranks.first:
        return follow(ranks, _train)
    solver()  # what fits the laws is there, or it is said before hours of training
    folder, family = _resumed(args) if args.resume is not None else _fresh(args)
    with stop_on_signals() as should_stop:
        finished = train_family(folder, family, on_run=_announce, should_stop=should_stop, ranks=ranks)
    on_all_ranks(None, ranks)  # there is no more to train
    if not finished:
        print(f"continue with: minigpt scaling --resume {shlex.quote(str(folder))}", file=sys.stderr)
        return 130
    from minigpt.lab.scaling.figure import concluded  # matplotlib takes a second to import

    show(args, *concluded(folder, family, args.shots, args.questions))
    return 0


def _train(trainer: Trainer) -> None:
    with stop_on_signals() as should_stop:
        trainer.resume()
        trainer.train(should_stop=should_stop)


def _announce(member: Member) -> None:
    print(f"training {member.folder}", file=sys.stderr)


def _fresh(args: argparse.Namespace) -> tuple[Path, Family]:
    out = None if args.out is None else out_path(args.out)
    data = only_text("--data", DEFAULT if args.data is None else args.data)
    if args.shots and story_kind(data) is None:
        raise UserError(f"--shots asks about lists of the story world; it needs --data {DEFAULT}")
    folder = out or next_run("scaling")
    how = {"tokens": args.tokens or TOKENS, "seeds": args.seeds or 1, "context": args.context or CONTEXT}
    return folder, start_family(folder, sizes=tuple(args.sizes or SIZES), data=data, **how)


def _resumed(args: argparse.Namespace) -> tuple[Path, Family]:
    check_resume(args, "family", "--shots", "--questions")
    folder = Path(only_text("--resume", args.resume))
    return folder, open_family(folder)
