"""Execute the notebooks from clean and store their outputs.

    python -m tools.notebooks                    # those whose outputs are older than their code
    python -m tools.notebooks --all
    python -m tools.notebooks 04-layer-norm      # some, by name
    python -m tools.notebooks --check            # execute none: say which are old, and why
    python -m tools.notebooks --turn             # execute none: say which two CI runs at this commit

Nothing is stored of a notebook that fails, that warns, or whose outputs are too large. A notebook that measures speed
runs by itself, after the others.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .executing import MOST_TOGETHER, NOTEBOOKS, PACKAGE, faults, in_turn, outdated, output_size, read, refresh
from .fingerprint import Source

ALONE = ("10-speed",)


def main() -> int:
    lines = (__doc__ or "").split("\n")
    parser = argparse.ArgumentParser(
        prog="python -m tools.notebooks",
        description=lines[0],
        epilog="\n".join(lines[1:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", choices=[[], *(path.stem for path in NOTEBOOKS)], metavar="NAME")
    parser.add_argument("--all", action="store_true", help="also those that are up to date")
    parser.add_argument("--check", action="store_true", help="only say which are old; the status is 1 where any is")
    parser.add_argument("--turn", action="store_true", help="only say which two are executed for this commit in CI")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="how many kernels run side by side (2)")
    options = parser.parse_args()
    if options.turn:
        print(*(path.name for path in in_turn()))
        return 0
    reasons = {path: _reasons(path, Source(PACKAGE)) for path in _chosen(options.names)}
    old = {path: why for path, why in reasons.items() if why}
    for path, why in old.items():
        print(f"{path.name}: older than {', '.join(why[:4])}" + (f" and {len(why) - 4} more" if len(why) > 4 else ""))
    if options.check:
        return bool(old)
    status = _refresh_all(list(reasons if options.all or options.names else old), options.processes)
    together = sum(output_size(read(path)) for path in NOTEBOOKS)
    print(f"{together / 1e6:.1f} MB of outputs in all")
    return status or together > MOST_TOGETHER


def _chosen(names: list[str]) -> list[Path]:
    return [path for path in NOTEBOOKS if not names or path.stem in names]


def _reasons(path: Path, source: Source) -> list[str]:
    notebook = read(path)
    return outdated(source, notebook) or faults(notebook)


def _refresh_all(paths: list[Path], processes: int) -> int:
    """Execute and store, the longest first. Returns 1 where anything was wrong."""
    status = 0
    paths.sort(key=lambda path: -read(path)["metadata"].get("minigpt", {}).get("seconds", 0))
    for group in ([p for p in paths if p.stem not in ALONE], [p for p in paths if p.stem in ALONE]):
        with ThreadPoolExecutor(processes) as pool:  # each waits for a kernel, which is a process
            for done in as_completed([pool.submit(refresh, path) for path in group]):
                said, wrong = done.result()
                print("\n".join([said, *wrong]), file=sys.stderr if wrong else sys.stdout, flush=True)
                status |= bool(wrong)
    return status


if __name__ == "__main__":
    sys.exit(main())
