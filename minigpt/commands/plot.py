"""`minigpt plot`: a run's curves as a PNG file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minigpt.commands.common import add_run_argument, new_parser, print_json
from minigpt.train.run_folder import find_run


def add_parser(subparsers: Any) -> None:
    parser = new_parser(
        subparsers, "plot", "draw a run's loss, learning rate and gradient norm as PNG", "minigpt plot runs/tiny-1"
    )
    add_run_argument(parser)
    parser.add_argument("--out", metavar="FILE", help="by default curves.png in the run's folder")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from minigpt import plot  # matplotlib takes a second to import

    folder = find_run(args.run_folder)
    path = plot.save_figure(plot.training_figure(folder), Path(args.out) if args.out else folder / "curves.png")
    if args.json:
        print_json({"run": str(folder), "figure": str(path)})
    else:
        print(path)
    return 0
