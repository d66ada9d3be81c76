"""`minigpt bench`: how fast this machine trains, decodes, attends and encodes, and against what."""

from __future__ import annotations

import argparse
import sys

from minigpt import __version__
from minigpt.cli.common import show
from minigpt.core.backend import get_backend
from minigpt.distributed.join import join
from minigpt.distributed.launch import launched
from minigpt.lab.benchmark import sessions


def run_step(args: argparse.Namespace) -> None:
    if args.ranks:
        alone = not (args.against or args.profile)
        show(args, *sessions.step_on_ranks(args.shape, join(__version__), repeats=args.repeats, alone=alone))
        return
    if launched().rank:
        return  # without --ranks, one process does it
    backend = get_backend(args.backend).name  # fails here, with one sentence, if it cannot run
    how = {"dtype": args.dtype, "against": args.against, "profile": args.profile, **_how(args)}
    show(args, *sessions.step(args.shape, backend, **how))


def run_decode(args: argparse.Namespace) -> None:
    how = {"prompt": args.prompt, "against": args.against, "busy": args.busy or 0, **_how(args)}
    show(args, *sessions.decode(args.shape, **how))


def run_machine(args: argparse.Namespace) -> None:
    show(args, *sessions.machine(args.repeats))


def run_scaling(args: argparse.Namespace) -> None:
    show(args, *sessions.scaling(args.out, **_how(args)))


def run_attention(args: argparse.Namespace) -> None:
    how = {"only": args.only, "causal": not args.no_causal, "repeats": args.repeats, "torch": bool(args.against)}
    show(args, *sessions.attention(args.backend, args.dtype, args.shape, **how))


def run_tokenizer(args: argparse.Namespace) -> int:
    how = {"merges": args.merges, "repeats": args.repeats, "vocab": args.vocab, "clock": args.clock}
    values, text = sessions.tokenizer(args.files, args.against, **how)
    show(args, values, text)
    if args.json or all(values["same"].values()):
        return 0
    print(f"the results differ: {values['same']}", file=sys.stderr)
    return 1


def _how(args: argparse.Namespace) -> dict[str, object]:
    """What all contests are told."""
    return {"repeats": args.repeats, "workers": args.workers, "clock": args.clock}
