"""`minigpt bench tokenizer`: our byte-level BPE side by side with Hugging Face's and tiktoken, in one run."""

from __future__ import annotations

import argparse
import importlib.util
import sys

from minigpt.cli.common import show
from minigpt.core.errors import UserError
from minigpt.core.files import read_text
from minigpt.core.progress import progress_bar
from minigpt.lab.benchmark import report
from minigpt.lab.benchmark.conditions import load_average, measured_conditions
from minigpt.lab.benchmark.tokenizer import bench

RIVALS = ("tokenizers", "tiktoken")


def run(args: argparse.Namespace) -> int:
    rivals = [name for name in args.against.split(",") if name]
    for name in rivals:
        if name not in RIVALS:
            raise UserError(f"cannot compare with {name!r}: choose from {', '.join(RIVALS)}")
        if importlib.util.find_spec(name) is None:
            raise UserError(f"{name} is not installed: pip install {name}, or leave it out of --against")
    for file in args.files:
        read_text(file)  # fails here, with one sentence, if it cannot be read
    conditions = measured_conditions(load=load_average())
    with progress_bar(total=args.repeats, unit="round", leave=False) as bar:
        result = bench(args.files, args.merges, args.repeats, rivals, args.vocab, args.clock, progress=bar.update)
    text = "\n".join([conditions.sentence(), *report.tokenizer(result, args.repeats, args.clock)])
    show(args, result | {"clock": args.clock, "machine": conditions.values()}, text)
    if args.json or all(result["same"].values()):
        return 0
    print(f"the results differ: {result['same']}", file=sys.stderr)
    return 1
