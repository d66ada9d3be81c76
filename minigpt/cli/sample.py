"""`minigpt sample`: let a trained model continue a prompt."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from minigpt.cli.commands import COMMANDS
from minigpt.cli.common import add_run_argument, at_least, new_parser, only_text, print_json

GIVEN = ("tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "no_repeat_ngram", "beams")


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
    parser.add_argument(
        "--min-p", type=float, metavar="P", help="draw tokens at least P times as probable as the first"
    )
    parser.add_argument(
        "--repetition-penalty",
        type=float,
        metavar="X",
        help="above 1, tokens of the text come again less often",
    )
    parser.add_argument(
        "--no-repeat-ngram", type=at_least(0), metavar="N", help="no sequence of N tokens comes twice; 0 allows it"
    )
    parser.add_argument(
        "--beams",
        type=at_least(0),
        metavar="N",
        help="search with N beams (not for GPT and Llama runs)",
    )
    parser.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="the same seed writes the same text")
    parser.add_argument("--backend", choices=("numpy", "cupy"), help="where to compute; by default numpy")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from minigpt.cli.abilities import WRITE
    from minigpt.core.backend import get_backend
    from minigpt.generate.settings import shown
    from minigpt.interop.loaded import load
    from minigpt.train.run_folder import find_model

    loaded = load(find_model(args.run_folder, WRITE), backend=get_backend(args.backend).name)
    own = loaded.config.sample
    prompt = own.prompt if args.prompt is None else only_text("--prompt", args.prompt)
    given = {name: getattr(args, name) for name in GIVEN}
    pieces = loaded.pieces(prompt, given, args.seed, tokens=own.tokens, drawing=own.temperature)
    if args.json:
        tokens = args.tokens or (loaded.generation or {}).get("max_new_tokens") or own.tokens
        written = {"prompt": prompt, "text": "".join(pieces).removeprefix(prompt), "tokens": tokens}
        print_json(written | {"settings": loaded.generation or {}})
        return 0
    if loaded.generation:
        said = ", ".join(f"{name} {shown(value)}" for name, value in loaded.generation.items())
        print(f"The model's own settings, unless others are given: {said}", file=sys.stderr)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0
