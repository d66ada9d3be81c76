"""`minigpt average`: a new run whose weights are the mean of another one's last checkpoints."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minigpt.cli.commands import COMMANDS
from minigpt.cli.common import add_run_argument, at_least, new_parser, only_text, print_json


def add_parser(subparsers: Any) -> None:
    parser = new_parser(
        subparsers,
        "average",
        COMMANDS["average"],
        "minigpt average runs/transformer-tiny-1 --last 5",
    )
    add_run_argument(parser)
    parser.add_argument("--last", type=at_least(1), default=5, metavar="N", help="how many checkpoints; by default 5")
    parser.add_argument("--out", metavar="DIR", help="the new run's folder; by default RUN-average")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from minigpt import tokenizers
    from minigpt.cli.abilities import average
    from minigpt.core.backend import get_backend
    from minigpt.train.average import average_checkpoints
    from minigpt.train.checkpoint import check_tokenizer, save_checkpoint
    from minigpt.train.families import make_model
    from minigpt.train.log import LOG, SAMPLES
    from minigpt.train.run_folder import check_target, create_run, find_run, load_config

    source = find_run(args.run_folder, average(args.last))
    out = source.with_name(f"{source.name}-average") if args.out is None else Path(only_text("--out", args.out))
    check_target(out, force=False, replaces=False, sources=[source])
    config, tokenizer = load_config(source), tokenizers.load(source)
    model = make_model(config)
    mean = average_checkpoints(source, model, args.last, dtype=config.train.dtype)
    check_tokenizer(mean.state, tokenizer, source)
    # The optimizer starts anew: the moments of one checkpoint do not belong to the mean of several.
    kept = {name: value for name, value in mean.state.items() if name not in ("step", "updates", "numpy")}
    state = kept | {"positions": dict.fromkeys((LOG, SAMPLES), 0)}

    def write(folder: Path) -> None:
        step, backend = mean.state["step"], get_backend("numpy")
        save_checkpoint(folder, step, mean.params, None, state, backend=backend, keep=1)

    create_run(out, out.name, config, tokenizer, write, force=False)
    if args.json:
        print_json({"run": str(out), "steps": mean.steps})
    else:
        print(f"{out}: the mean of the checkpoints of steps {', '.join(map(str, mean.steps))}")
    return 0
