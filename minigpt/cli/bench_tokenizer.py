"""`minigpt bench tokenizer`: our byte-level BPE side by side with Hugging Face's and tiktoken, in one run."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys

from minigpt.core.errors import UserError
from minigpt.core.files import read_text
from minigpt.core.progress import progress_bar
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
    if args.json:
        print(json.dumps(result | {"clock": args.clock, "machine": conditions.values()}))
        return 0
    print(conditions.sentence())
    how = f"medians of {args.repeats} interleaved runs [95% interval], {args.clock} time"
    print(f"{result['bytes'] / 1e6:.2f} MB, {result['merges']} merges, {how}")
    for task, r in result["tasks"].items():
        ratios = "".join(
            f", {name} {s * 1e3:.0f} ms: {r['speed'][name]:.2f}x [{low:.2f}, {high:.2f}]"
            for (name, s), (low, high) in zip(r["others"].items(), r["speed_interval"].values(), strict=True)
        )
        print(f"{task:12} {r['seconds'] * 1e3:7.0f} ms, {r['mb_per_second']:5.1f} MB/s{ratios}")
    print("x: our speed over theirs; above 1 we are faster")
    if not all(result["same"].values()):
        print(f"the results differ: {result['same']}", file=sys.stderr)
        return 1
    return 0
