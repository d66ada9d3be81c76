"""`minigpt sample`: let a trained model continue a prompt."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from minigpt.commands import COMMANDS
from minigpt.commands.common import add_run_argument, at_least, new_parser, only_text, print_json


def add_parser(subparsers: Any) -> None:
    parser = new_parser(
        subparsers,
        "sample",
        COMMANDS["sample"],
        'minigpt sample runs/tiny-1 --prompt "The " --tokens 200 --temperature 0.7',
    )
    add_run_argument(parser, also="; or any model that convert reads")
    parser.add_argument("--prompt", help="the text to continue; by default the run's own")
    parser.add_argument("--tokens", type=at_least(1), metavar="N", help="how many tokens to write")
    parser.add_argument("--temperature", type=float, metavar="T", help="0 always takes the most probable token")
    parser.add_argument("--top-k", type=int, metavar="K", help="draw from the K most probable tokens; 0 from all")
    parser.add_argument("--top-p", type=float, metavar="P", help="draw from the most probable tokens that sum to P")
    parser.add_argument("--beams", type=at_least(0), metavar="N", help="search with N beams (encoder–decoders)")
    parser.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="the same seed writes the same text")
    parser.add_argument("--backend", choices=("numpy", "cupy"), help="where to compute; by default numpy")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from minigpt.api import load
    from minigpt.backend import get_backend
    from minigpt.commands.abilities import WRITE
    from minigpt.config import SampleConfig
    from minigpt.families import make_objective
    from minigpt.train.run_folder import find_model

    loaded = load(find_model(args.run_folder, WRITE), backend=get_backend(args.backend).name)
    given = {name: getattr(args, name) for name in ("prompt", "tokens", "temperature", "top_k", "top_p", "beams")}
    defaults = vars(loaded.config.sample)
    s = SampleConfig(**(defaults | {name: value for name, value in given.items() if value is not None}))
    only_text("--prompt", s.prompt)
    pieces = make_objective(loaded.config, loaded.text).sample(loaded.model, loaded.params, s, args.seed)
    if args.json:
        text = "".join(pieces).removeprefix(s.prompt)
        print_json({"prompt": s.prompt, "text": text, "tokens": s.tokens})
        return 0
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0
