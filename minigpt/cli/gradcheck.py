"""`minigpt gradcheck`: every hand-written gradient against finite differences, parameter by parameter."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

from minigpt.cli.common import show
from minigpt.core.errors import UserError, nearest
from minigpt.core.progress import progress_bar, write_line
from minigpt.lab.gradcheck.cases import MODEL_CASES, operation_cases, operation_names
from minigpt.lab.testing import DIRECTION_BOUND, ELEMENT_BOUND, ELEMENTS, GradientCheck

_Case = tuple[str, Callable[[], Iterator[GradientCheck]]]


def run(args: argparse.Namespace) -> int:
    if args.name is None:
        names = {"operations": operation_names(), "models": list(MODEL_CASES)}
        lines = [f"  {what + ':':<11} {', '.join(some)}" for what, some in names.items()]
        show(args, names, "\n".join(["all, ops, or one of", *lines]))
        return 0
    rows: list[tuple[str, GradientCheck]] = []
    cases = _cases(args.name, args.thorough)
    if not args.json:
        print("Relative errors: of the worst element, and along a random direction")
    with progress_bar(cases, unit="case", leave=False) as bar:
        for case, checks in bar:
            bar.set_postfix_str(case, refresh=False)
            for check in checks():
                rows.append((case, check))
                if not args.json:
                    errors = f"{check.error:9.1e} {check.directional:9.1e}"
                    line = f"{case:<34} {check.name:<28} {errors} {'ok' if check.passed else 'WRONG'}"
                    write_line(bar, line, sys.stdout)
    _report(args, rows)
    return 0 if all(check.passed for _, check in rows) else 1


def _cases(name: str, thorough: bool) -> list[_Case]:
    """What is checked under a name.

    Raises:
        UserError: nothing is called so.
    """
    asked = name.strip().lower().replace("_", "-")
    operations = [
        case for case in operation_cases() if asked in ("all", "ops", case.operation, case.name.replace("_", "-"))
    ]
    models = MODEL_CASES if asked == "all" else {key: make for key, make in MODEL_CASES.items() if key == asked}
    if not operations and not models:
        known = ["all", "ops", *operation_names(), *MODEL_CASES]
        raise UserError(f"there is nothing called {name!r} to check: {nearest(asked, known)}")
    checks = [(case.name, case.checks) for case in operations]
    elements = None if thorough else ELEMENTS
    return checks + [(key, lambda make=make: make().checks(elements)) for key, make in models.items()]


def _report(args: argparse.Namespace, rows: list[tuple[str, GradientCheck]]) -> None:
    worst = max(check.error for _, check in rows)
    worst_directional = max(check.directional for _, check in rows)
    parameters = [{"model": m, "name": c.name, "error": c.error, "directional": c.directional} for m, c in rows]
    wrong = sum(not check.passed for _, check in rows)
    text = (
        f"\n{len(rows)} gradients, {wrong} wrong. Worst: {worst:.1e} by element (allowed {ELEMENT_BOUND:.0e}), "
        f"{worst_directional:.1e} along a direction (allowed {DIRECTION_BOUND:.0e})."
    )
    show(args, {"worst": worst, "worst_directional": worst_directional, "parameters": parameters}, text)
