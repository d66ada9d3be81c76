"""`minigpt scaling`: train a family of sizes, fit laws to their losses, and check what the laws predict."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from minigpt.cli.commands import COMMANDS
from minigpt.cli.common import at_least, new_parser, only_text, print_json
from minigpt.cli.plan import token_count
from minigpt.cli.train import stop_on_signals
from minigpt.core.errors import UserError
from minigpt.core.files import write_atomically
from minigpt.core.progress import progress_bar
from minigpt.data.corpora import DEFAULT
from minigpt.data.text import resolve_sources
from minigpt.evaluate.scaling_laws import solver
from minigpt.lab.scaling import SIZES, Family, Size, measure, open_family, results, start_family, train_family
from minigpt.lab.scaling.family import CONTEXT, parse_size, story_kind
from minigpt.train.run_folder import next_run

TOKENS = 1_600_000


def add_parser(subparsers: Any) -> None:
    parser = new_parser(
        subparsers,
        "scaling",
        COMMANDS["scaling"],
        "minigpt scaling --out family\n  minigpt scaling --resume family    (after an interruption)\n"
        "  minigpt scaling --data storyworld:list --context 72 --tokens 3M --out lists",
    )
    parser.add_argument(
        "--sizes",
        type=size,
        nargs="+",
        metavar="LxC",
        help=f"layers x width; by default {' '.join(map(str, SIZES))}. The largest is predicted from the others",
    )
    parser.add_argument(
        "--data",
        metavar="FILE|DIR|NAME",
        help=f"the text; by default {DEFAULT}, whose entropy is known ({DEFAULT}:KIND: documents of one kind)",
    )
    parser.add_argument("--tokens", type=token_count, metavar="N", help="that each run is trained on; by default 1.6M")
    parser.add_argument("--seeds", type=at_least(1), metavar="N", help="runs of each size; by default 1")
    parser.add_argument(
        "--context",
        type=at_least(8),
        metavar="T",
        help=f"tokens of a row; by default {CONTEXT}. 72 hold one list of the story world, and seldom two",
    )
    parser.add_argument("--out", metavar="DIR", help="the family's folder; by default runs/scaling-N")
    parser.add_argument("--resume", metavar="DIR", help="go on with a family, or measure it again")
    parser.add_argument(
        "--shots",
        type=at_least(0),
        nargs="*",
        metavar="K",
        help="examples before each few-shot question; by default 0 1 2 4 8; none: nothing is asked",
    )
    parser.add_argument("--questions", type=at_least(1), default=results.QUESTIONS, metavar="N", help="of few-shot")
    parser.set_defaults(run=run)


def size(text: str) -> Size:
    """An argument type: layers x width, such as 2x48."""
    try:
        return parse_size(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: write layers x width, such as 2x48") from None


def run(args: argparse.Namespace) -> int:
    solver()  # what fits the laws is there, or it is said before hours of training
    folder, family = _resumed(args) if args.resume is not None else _fresh(args)
    with stop_on_signals() as should_stop:
        finished = train_family(
            folder, family, on_run=lambda member: print(f"training {member.folder}", file=sys.stderr),
            should_stop=should_stop,
        )  # fmt: skip
    if not finished:
        print(f"go on with: minigpt scaling --resume {shlex.quote(str(folder))}", file=sys.stderr)
        return 130
    shots = results.SHOTS if args.shots is None and story_kind(family.data) is not None else args.shots or ()
    with progress_bar(unit="question", leave=False) as bar:
        found = measure(folder, family, shots=shots, questions=args.questions, on_shots=lambda m, k: bar.update())
    values = results.values(found)
    write_atomically(folder / "results.json", json.dumps(values, indent=1) + "\n")
    from minigpt.lab.plot import save_figure  # matplotlib takes a second to import
    from minigpt.lab.scaling.figure import scaling_figure

    figure = save_figure(scaling_figure(found), folder / "scaling.png")
    if args.json:
        print_json({"family": str(folder), "figure": str(figure)} | values)
    else:
        print(results.text(found))
        print(f"{folder / 'results.json'}, {figure}")
    return 0


def _fresh(args: argparse.Namespace) -> tuple[Path, Family]:
    if args.out is not None and not only_text("--out", args.out):
        raise UserError("--out is empty; name a folder that does not exist yet")
    data = only_text("--data", DEFAULT if args.data is None else args.data)
    sizes = tuple(args.sizes or SIZES)
    if len({s.layers * s.width**2 for s in sizes}) < 3:
        raise UserError("a law needs at least three --sizes, and four if the largest is to be predicted")
    if story_kind(data) is None:
        resolve_sources([data])  # fails here, with one sentence, if there is no such text
        data = str(Path(data).resolve()) if Path(data).exists() else data
    if args.shots and story_kind(data) is None:
        raise UserError(f"--shots asks about lists of the story world; it needs --data {DEFAULT}")
    folder = next_run("scaling") if args.out is None else Path(args.out)
    how = {"tokens": args.tokens or TOKENS, "seeds": args.seeds or 1, "context": args.context or CONTEXT}
    return folder, start_family(folder, sizes=sizes, data=data, **how)


def _resumed(args: argparse.Namespace) -> tuple[Path, Family]:
    given = {"--sizes": args.sizes, "--data": args.data, "--tokens": args.tokens, "--out": args.out}
    given |= {"--seeds": args.seeds, "--context": args.context}
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise UserError(f"--resume goes on with a family as it is; {wrong[0]} cannot be given with it")
    folder = Path(only_text("--resume", args.resume))
    return folder, open_family(folder)
