"""`minigpt plan`: what training a model would take, on paper: parameters, arithmetic, memory, a layout, days, cost."""

from __future__ import annotations

import argparse

from minigpt.cli.arguments.training import PRECISIONS
from minigpt.cli.common import figure_out, show
from minigpt.core.errors import UserError
from minigpt.lab.planning import planned


def run(args: argparse.Namespace) -> None:
    if (args.out or args.force) and args.simulate is None:
        raise UserError("--out and --force are for a simulation; say on how many ranks with --simulate N")
    how = {name: getattr(args, name) for name in ("gpus", "simulate", "tokens", "mfu", "price")}
    how |= {"path": figure_out(args), "precision": PRECISIONS.get(args.precision, args.precision or "")}
    show(args, *planned(args.preset, args.settings, args.gpu, **how))
