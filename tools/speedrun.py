"""Verify an entry of docs/speedrun.md: train it on texts that nobody has seen, several times, beside tiny.

    python tools/speedrun.py sprint

Each seed makes a corpus of the story world anew and trains both on it, one after the other, with two workers. What
counts is the processor time of the whole command `minigpt train`, all its processes together: start, tokenizer and
evaluation too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from minigpt.data.corpora import DOCUMENTS
from minigpt.data.storyworld.documents import stream
from minigpt.lab.benchmark.conditions import load_average, measured_conditions
from minigpt.lab.benchmark.contest import Interval, interval

FIRST = 1_000_000  # the story world's seeds from here on are for verifying; training and tests use others
GOAL = 0.82  # of the way from 5-grams to the floor


class Outcome(NamedTuple):
    """One run: nats per token above the floor, the share of the way from 5-grams to it, and processor seconds."""

    above: float
    share: float
    seconds: float


def corpus(seed: int, folder: Path, documents: int = DOCUMENTS) -> Path:
    """As many documents as the default corpus has, in the same order (dev last), of another seed."""
    path, dev = folder / f"texts-{seed}.txt", documents // 20
    texts = []
    for split, count in (("train", documents - dev), ("dev", dev)):
        documents_of = stream(FIRST + seed, split)
        texts += [next(documents_of).text for _ in range(count)]
    path.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    return path


def train(words: Sequence[str], text: Path, seed: int, out: Path) -> Outcome:
    """Run `minigpt train` with these words, and count what it takes."""
    command = [sys.executable, "-m", "minigpt", "train", *words, "--data", str(text), "--seed", str(seed)]
    command += ["--out", str(out), "--set", "train.workers=2", "--json"]
    before = os.times()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    after = os.times()
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed")
    result = json.loads(done.stdout)
    seconds = after.children_user - before.children_user + after.children_system - before.children_system
    return Outcome(result["val_loss"] - result["floor"], result["share"], seconds)


def report(entry: Sequence[Outcome], tiny: Sequence[Outcome]) -> str:
    """A line for each, and the ratio of the times round by round."""
    lines = []
    for name, outcomes in (("entry", entry), ("tiny", tiny)):
        if outcomes:
            above, share, seconds = (interval(x) for x in zip(*outcomes, strict=True))
            lines.append(
                f"{name}: {_said(share, '.1%')} of the way, {_said(above, '.4f')} nats above the floor, "
                f"{_said(seconds, '.0f')} processor seconds; {len(outcomes)} seeds"
            )
    if tiny:
        ratio = interval([a.seconds / b.seconds for a, b in zip(entry, tiny, strict=True)])
        lines.append(f"time over tiny's: {_said(ratio, '.2f')}")
    reached = interval([o.share for o in entry]).median >= GOAL
    return "\n".join([*lines, f"{'reaches' if reached else 'does not reach'} {GOAL:.0%} of the way"])


def _said(x: Interval, form: str) -> str:
    return f"{x.median:{form}} [{x.low:{form}}, {x.high:{form}}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("entry", help="a preset's name or a configuration file")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed; take one that nobody has verified with")
    parser.add_argument("--alone", action="store_true", help="without tiny beside it")
    args = parser.parse_args()
    print(measured_conditions(load=load_average()).sentence(), flush=True)
    words = [args.entry, *(part for one in args.settings for part in ("--set", one))]
    entry: list[Outcome] = []
    tiny: list[Outcome] = []
    with tempfile.TemporaryDirectory() as name:
        for seed in range(args.first, args.first + args.seeds):
            text = corpus(seed, Path(name))
            entry.append(train(words, text, seed, Path(name) / f"entry-{seed}"))
            print(f"seed {seed}: {entry[-1]}", flush=True)
            if not args.alone:
                tiny.append(train(["tiny"], text, seed, Path(name) / f"tiny-{seed}"))
                print(f"        tiny {tiny[-1]}", flush=True)
    print(report(entry, tiny))


if __name__ == "__main__":
    main()
