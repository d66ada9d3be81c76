"""`minigpt info`: what this machine offers, and what is missing and why; and of a run, whether its files are whole."""

from __future__ import annotations

import argparse

from minigpt.cli.common import only_text, show
from minigpt.lab.machine import offers
from minigpt.train.integrity import checkpoint_paths, is_listed, problems
from minigpt.train.report import FINISHED, ended_at
from minigpt.train.run_folder import find_run


def _verify(args: argparse.Namespace) -> int:
    """Say of each checkpoint whether all that resuming from it needs is what was saved."""
    folder = find_run(only_text("RUN", args.run_folder or ""))
    found = {path.name: problems(path) for path in checkpoint_paths(folder)}
    unlisted = [path.name for path in checkpoint_paths(folder) if not is_listed(path)]
    if (folder / FINISHED).exists() and ended_at(folder) is None:
        found["end"] = ["what was logged after the last step is damaged; resuming measures it again"]
    status = int(not found or any(found.values()))
    lines = [] if checkpoint_paths(folder) else [f"{folder} has no checkpoint"]
    for name, damage in found.items():
        good = "unverified: it is of before there were lists of hashes" if name in unlisted else "good"
        lines.append(f"{name}: {'; '.join(damage) or good}")
    show(args, {"run": str(folder), "damage": found, "unverified": unlisted}, "\n".join(lines))
    return status


def run(args: argparse.Namespace) -> int:
    if args.verify or args.run_folder is not None:
        return _verify(args)
    values = offers()
    show(args, values, "\n".join(f"{name:<13} {value}" for name, value in values.items()))
    return 0
