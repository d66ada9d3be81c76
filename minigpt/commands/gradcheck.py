"""`minigpt gradcheck`: every hand-written gradient against numeric differences, parameter by parameter."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import Any

from minigpt.commands import COMMANDS
from minigpt.commands.common import new_parser, print_json
from minigpt.gradcheck import MODEL_CASES, operation_cases
from minigpt.progress import progress_bar, write_line
from minigpt.testing import DIRECTION_BOUND, ELEMENT_BOUND, GradientCheck


def add_parser(subparsers: Any) -> None:
    parser = new_parser(
        subparsers,
        "gradcheck",
        COMMANDS["gradcheck"],
        "minigpt gradcheck gpt2",
    )
    parser.add_argument(
        "model", choices=("all", "ops", *MODEL_CASES), metavar="MODEL", help=f"all, ops, {', '.join(MODEL_CASES)}"
    )
    parser.set_defaults(run=run)


def _cases(name: str) -> list[tuple[str, Callable[[], Iterator[GradientCheck]]]]:
    operations = [(case.name, case.checks) for case in operation_cases()] if name in ("all", "ops") else []
    models = MODEL_CASES if name == "all" else {k: v for k, v in MODEL_CASES.items() if k == name}
    return operations + [(model, lambda make=make: make().checks()) for model, make in models.items()]


def run(args: argparse.Namespace) -> int:
    rows: list[tuple[str, GradientCheck]] = []
    with progress_bar(_cases(args.model), unit="case", leave=False) as bar:
        for model, checks in bar:
            bar.set_postfix_str(model, refresh=False)
            for check in checks():
                rows.append((model, check))
                if not args.json:
                    errors = f"{check.error:9.1e} {check.directional:9.1e}"
                    write_line(bar, f"{model:<34} {check.name:<28} {errors} {_verdict(check)}", sys.stdout)
    worst = max(check.error for _, check in rows)
    worst_directional = max(check.directional for _, check in rows)
    failed = [(model, check) for model, check in rows if not check.passed]
    if args.json:
        parameters = [{"model": m, "name": c.name, "error": c.error, "directional": c.directional} for m, c in rows]
        print_json({"worst": worst, "worst_directional": worst_directional, "parameters": parameters})
    else:
        print(
            f"\n{len(rows)} gradients, {len(failed)} wrong. Columns: relative error of the worst element "
            f"(bound {ELEMENT_BOUND:.0e}) and along a random direction (bound {DIRECTION_BOUND:.0e}).\n"
            f"Worst: {worst:.1e} by element, {worst_directional:.1e} along a direction."
        )
    return 1 if failed else 0


def _verdict(check: GradientCheck) -> str:
    return "ok" if check.passed else "WRONG"
