"""minigpt check: a file with hand-written backward passes is run, judged, and told where and what the mistake is."""

from __future__ import annotations

import argparse
import sys

from minigpt.cli.common import figure_path, show
from minigpt.lab.check.report import UNPROTECTED, check_file


def run(args: argparse.Namespace) -> int:
    path = figure_path(args.plot, force=True) if args.plot else None
    report = check_file(args.file, args.names, claimed=args.claimed)
    if not report.protected:
        print(f"minigpt: {UNPROTECTED}", file=sys.stderr)
    show(args, report.as_dict(), report.text(args.level))
    if path is not None:
        from minigpt.lab.check.picture import draw_report  # matplotlib takes a second to import

        drawn = draw_report(report, path)
        print(f"minigpt: {f'drew {path}' if drawn else 'there is no wrong gradient to draw'}", file=sys.stderr)
    return report.status
