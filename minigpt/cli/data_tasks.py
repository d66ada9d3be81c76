"""`minigpt data tasks`: tasks that minigpt makes by itself, as files to look at and to learn from."""

from __future__ import annotations

import argparse
import json

from minigpt.cli.common import out_path
from minigpt.core.errors import UserError
from minigpt.core.files import check_absent
from minigpt.core.settings import require
from minigpt.lab.baselines import measured, sklearn_modules
from minigpt.tasks import TASKS
from minigpt.tasks.metrics import check_packages
from minigpt.tasks.world import MADE, Sizes, write


def run(args: argparse.Namespace) -> None:
    names = list(dict.fromkeys(args.task or MADE))
    out = out_path(args.out)
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; name a folder, in which a folder for each task is made")
    for name in names:
        require(name in MADE, f"the story world has no task {name!r}; it has {', '.join(MADE)}")
        check_absent(out / name)
        if args.baselines:  # what is missing is said before anything is written
            sklearn_modules()
            check_packages(TASKS[name].metrics)
    sizes, written = Sizes(args.train, args.dev, args.test), {}
    for name in names:
        folder = write(out / name, name, args.seed, sizes)
        found = measured(name, folder) if args.baselines else {}
        written[name] = {"folder": str(folder), **({"baselines": found} if args.baselines else {})}
        if not args.json:
            print(f"{name:12} {folder}  " + "  ".join(f"{what} {value:.3f}" for what, value in found.items()))
    if args.json:
        print(json.dumps({"tasks": written}))
