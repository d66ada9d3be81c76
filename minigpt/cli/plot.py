"""`minigpt plot`: a run's curves as a PNG file."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from minigpt.cli.commands import COMMANDS
from minigpt.cli.common import add_run_argument, new_parser, only_text, print_json
from minigpt.core.errors import UserError


def add_parser(subparsers: Any) -> None:
    parser = new_parser(subparsers, "plot", COMMANDS["plot"], "minigpt plot runs/tiny-1")
    add_run_argument(parser)
    parser.add_argument("--out", metavar="FILE.png", help="by default curves.png in the run's folder")
    parser.add_argument(
        "--baseline", type=float, metavar="LOSS", help="draw this loss as a line, such as that of eval --baseline"
    )
    parser.add_argument(
        "--beside", action="append", default=[], metavar="RUN", help="compare with another run's losses; repeatable"
    )
    parser.add_argument("--force", action="store_true", help="replace the file in --out if there is one")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from minigpt.cli.abilities import PLOT
    from minigpt.lab import plot  # matplotlib takes a second to import
    from minigpt.train.run_folder import find_run

    folder = find_run(args.run_folder, PLOT)
    path = folder / "curves.png" if args.out is None else Path(only_text("--out", args.out))
    if path.suffix.lower() != ".png":
        raise UserError(f"--out {path} does not end in .png, and PNG is what is written")
    if args.out is not None and path.exists() and not args.force:
        raise UserError(f"{path} exists; replace it with --force")
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {path.parent}")
    if args.baseline is not None and not math.isfinite(args.baseline):
        raise UserError(f"--baseline {args.baseline} is not a finite number")
    if args.beside:
        if args.out is None:
            raise UserError("--beside compares runs in a picture of its own; say where with --out FILE.png")
        figure = plot.comparison_figure([folder, *map(find_run, args.beside)], args.baseline)
    else:
        figure = plot.training_figure(folder, args.baseline)
    plot.save_figure(figure, path)
    if args.json:
        print_json({"run": str(folder), "figure": str(path)})
    else:
        print(path)
    return 0
