"""`minigpt gradcheck`: every hand-written gradient against finite differences, parameter by parameter."""

from __future__ import annotations

import argparse
import sys

from minigpt.cli.common import show
from minigpt.core.progress import progress_bar, write_line
from minigpt.lab.gradcheck import report
from minigpt.lab.gradcheck.cases import MODEL_CASES, operation_names


def run(args: argparse.Namespace) -> int:
    if args.name is None:
        names = {"operations": operation_names(), "models": list(MODEL_CASES)}
        lines = [f"  {what + ':':<11} {', '.join(some)}" for what, some in names.items()]
        show(args, names, "\n".join(["all, ops, or one of", *lines]))
        return 0
    rows: list[report.Row] = []
    cases = report.cases(args.name, args.thorough)
    if not args.json:
        print("Relative errors: of the worst element, and along a random direction")
    with progress_bar(cases, unit="case", leave=False) as bar:
        for case, checks in bar:
            bar.set_postfix_str(case, refresh=False)
            for check in checks():
                rows.append((case, check))
                if not args.json:
                    write_line(bar, report.line(case, check), sys.stdout)
    show(args, report.values(rows), report.text(rows))
    return 0 if all(check.passed for _, check in rows) else 1
