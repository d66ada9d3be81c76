"""`minigpt average`: a new run whose weights are the mean of another one's last checkpoints."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigpt.cli.abilities import average
from minigpt.cli.common import out_path, show
from minigpt.train.checkpoint import average_checkpoints, check_tokenizer, save_checkpoint
from minigpt.train.families import make_model
from minigpt.train.integrity import GROWING
from minigpt.train.run_folder import check_target, create_run, find_run, load_config, load_tokenizer


def run(args: argparse.Namespace) -> None:
    source = find_run(args.run_folder, average(args.last))
    out = source.with_name(f"{source.name}-average") if args.out is None else out_path(args.out)
    check_target(out, force=False, replaces=False, sources=[source])
    config, tokenizer = load_config(source), load_tokenizer(source)
    mean, states = average_checkpoints(source, make_model(config), args.last, dtype=config.train.dtype)
    check_tokenizer(states[-1], tokenizer, source)
    # The optimizer starts anew: the moments of one checkpoint do not belong to the mean of several.
    steps, own = [kept["step"] for kept in states], ("step", "updates", "numpy", "best", "hashes")
    kept = {name: value for name, value in states[-1].items() if name not in own}
    state = kept | {"positions": dict.fromkeys(GROWING, 0)}

    def write(folder: Path) -> None:
        save_checkpoint(folder, steps[-1], mean, None, state, keep=1)

    create_run(out, out.name, config, tokenizer, write, force=False)
    said = f"{out}: the mean of the checkpoints of steps {', '.join(map(str, steps))}"
    show(args, {"run": str(out), "steps": steps}, said)
