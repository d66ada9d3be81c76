"""`minigpt plot`: a run's curves as a PNG file."""

from __future__ import annotations

import argparse
import math

from minigpt.cli.abilities import PLOT
from minigpt.cli.common import figure_path, show
from minigpt.core.errors import UserError
from minigpt.core.settings import require
from minigpt.lab import plot
from minigpt.train.run_folder import find_run


def run(args: argparse.Namespace) -> None:
    folder = find_run(args.run_folder, PLOT)
    path = folder / "curves.png" if args.out is None else figure_path(args.out, force=args.force)
    if args.baseline is not None and not math.isfinite(args.baseline):
        raise UserError(f"--baseline {args.baseline} is not a finite number")
    if args.beside:
        require(args.out is not None, "--beside compares runs in a picture of its own; say where with --out FILE.png")
        figure = plot.comparison_figure([folder, *map(find_run, args.beside)], args.baseline)
    else:
        figure = plot.training_figure(folder, args.baseline)
    plot.save_figure(figure, path)
    show(args, {"run": str(folder), "figure": str(path)}, str(path))
