"""`minigpt gradcheck`: every hand-written gradient against numeric differences, parameter by parameter."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from minigpt.cli.commands import COMMANDS
from minigpt.cli.common import new_parser, print_json
from minigpt.core.errors import UserError

if TYPE_CHECKING:
    from minigpt.lab.testing import GradientCheck

_Case = tuple[str, Callable[[], "Iterator[GradientCheck]"]]


def add_parser(subparsers: Any) -> None:
    parser = new_parser(
        subparsers,
        "gradcheck",
        COMMANDS["gradcheck"],
        "minigpt gradcheck attention\n  minigpt gradcheck gpt2 --thorough",
    )
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="an operation (attention, layernorm, …), one of its cases, a model (gpt2, llama, …), ops (every "
        "operation) or all; without a name, they are listed",
    )
    parser.add_argument(
        "--thorough",
        action="store_true",
        help="differentiate a model's parameters element by element, instead of at a few of each and along a direction",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from minigpt.core.progress import progress_bar, write_line

    if args.name is None:
        return _list(args.json)
    rows: list[tuple[str, GradientCheck]] = []
    with progress_bar(_cases(args.name, args.thorough), unit="case", leave=False) as bar:
        for case, checks in bar:
            bar.set_postfix_str(case, refresh=False)
            for check in checks():
                rows.append((case, check))
                if not args.json:
                    errors = f"{check.error:9.1e} {check.directional:9.1e}"
                    line = f"{case:<34} {check.name:<28} {errors} {'ok' if check.passed else 'WRONG'}"
                    write_line(bar, line, sys.stdout)
    _report(rows, args.json)
    return 0 if all(check.passed for _, check in rows) else 1


def _cases(name: str, thorough: bool) -> list[_Case]:
    """What is checked under a name.

    Raises:
        UserError: nothing is called so.
    """
    from minigpt.lab.gradcheck.cases import MODEL_CASES, operation_cases, operation_names
    from minigpt.lab.testing import ELEMENTS

    asked = name.strip().lower().replace("_", "-")
    operations = [
        case for case in operation_cases() if asked in ("all", "ops", case.operation, case.name.replace("_", "-"))
    ]
    models = MODEL_CASES if asked == "all" else {key: make for key, make in MODEL_CASES.items() if key == asked}
    if not operations and not models:
        known = ["all", "ops", *operation_names(), *MODEL_CASES]
        near = difflib.get_close_matches(asked, known, 1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise UserError(f"there is nothing called {name!r} to check: {hint}")
    checks = [(case.name, case.checks) for case in operations]
    elements = None if thorough else ELEMENTS
    return checks + [(key, lambda make=make: make().checks(elements)) for key, make in models.items()]


def _list(as_json: bool) -> int:
    from minigpt.lab.gradcheck.cases import MODEL_CASES, operation_names

    names = {"operations": operation_names(), "models": list(MODEL_CASES)}
    if as_json:
        print_json(names)
    else:
        print("all, ops, or one of")
        for what, some in names.items():
            print(f"  {what + ':':<11} {', '.join(some)}")
    return 0


def _report(rows: list[tuple[str, GradientCheck]], as_json: bool) -> None:
    from minigpt.lab.testing import DIRECTION_BOUND, ELEMENT_BOUND

    worst = max(check.error for _, check in rows)
    worst_directional = max(check.directional for _, check in rows)
    if as_json:
        parameters = [{"model": m, "name": c.name, "error": c.error, "directional": c.directional} for m, c in rows]
        print_json({"worst": worst, "worst_directional": worst_directional, "parameters": parameters})
        return
    wrong = sum(not check.passed for _, check in rows)
    print(
        f"\n{len(rows)} gradients, {wrong} wrong. Columns: relative error of the worst element "
        f"(bound {ELEMENT_BOUND:.0e}) and along a random direction (bound {DIRECTION_BOUND:.0e}).\n"
        f"Worst: {worst:.1e} by element, {worst_directional:.1e} along a direction."
    )
