"""`python -m tests.fuzz`: many damaged inputs of every format, and a table of what became of them.

    python -m tests.fuzz --inputs 100000 --seed 3        # of every format; exits with 1 if there is a failure
    python -m tests.fuzz --format hf-gpt2 tiktoken       # of some
    python -m tests.fuzz --format hf-gpt2 --seed 3 --again 1712    # one of them, with its traceback
    python -m tests.fuzz --coverage                      # which lines of the readers are reached
    python -m tests.fuzz --coverage-guided steps-bpe     # with atheris, which looks for inputs that reach new lines

An input is a function of format, seed and number. Those that fail are kept in --keep, by format, seed and number.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from . import measuring, workers
from .formats import Bench, drawn, formats
from .workers import Outcome

COLUMNS = {"inputs": 9, "accepted": 10, "refused": 9, "tracebacks": 12, "hangs": 7, "other": 7, "s": 9, "slowest": 9}
HEADER = f"{'format':<24}" + "".join(f"{name:>{width}}" for name, width in COLUMNS.items())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=2000, metavar="N", help="of every format (%(default)s)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the number of the first (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, metavar="N")
    parser.add_argument("--format", nargs="+", choices=list(formats()), default=list(formats()), metavar="NAME")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), metavar="DIR", help="for inputs that fail")
    parser.add_argument("--again", type=int, metavar="N", help="one input of a format, with its traceback")
    parser.add_argument("--in-process", action="store_true", help="without limits, and without a table")
    parser.add_argument("--coverage", action="store_true", help="count the lines of the readers that are reached")
    parser.add_argument("--coverage-guided", choices=list(formats()), metavar="NAME", help="one format, with atheris")
    args = parser.parse_args()
    if args.again is not None:
        return again(args.format[0], args.seed, args.again)
    if args.coverage_guided:
        return measuring.guided(args.coverage_guided, args.inputs)
    if args.in_process:
        return measuring.in_process(args.format, args.inputs, args.seed)
    if args.coverage:
        return measuring.coverage(args.format, args.inputs, args.seed)
    return report(args)


def again(name: str, seed: int, number: int) -> int:
    """Try one input in this process, without limits."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(name, Path(folder))
        damaged = bench.damaged(drawn(name, seed, number))
        print(f"{damaged.file}, {len(damaged.data)} bytes: {damaged.data[:2000]!r}")
        print(bench.use(damaged) or "accepted")
    return 0


def report(args: argparse.Namespace) -> int:
    started = time.monotonic()
    print(HEADER, flush=True)
    outcomes = []
    inputs = range(args.first, args.first + args.inputs)
    for outcome in workers.many(args.format, inputs, args.seed, args.keep, args.processes):
        outcomes.append(outcome)
        print(row(outcome), flush=True)
    total = Outcome("all")
    for outcome in outcomes:
        for name in ("inputs", "accepted", "refused", "seconds"):
            setattr(total, name, getattr(total, name) + getattr(outcome, name))
        total.slowest = max(total.slowest, outcome.slowest)
        for kind, n in outcome.counts.items():
            total.counts[kind] = total.counts.get(kind, 0) + n
    print(row(total))
    span = f"inputs {inputs.start} to {inputs.stop - 1} of each"
    print(f"seed {args.seed}, {span}, {time.monotonic() - started:.0f} s in all")
    for outcome in outcomes:
        for kind, kept in sorted(outcome.failures.items()):
            print(f"{outcome.name}: {kind} ({outcome.counts[kind]} times)\n    " + "\n    ".join(kept), file=sys.stderr)
    return 1 if total.counts else 0


def row(o: Outcome) -> str:
    hangs, tracebacks = o.count("hang"), o.count("traceback")
    other = sum(o.counts.values()) - hangs - tracebacks
    numbers = [o.inputs, o.accepted, o.refused, tracebacks, hangs, other, f"{o.seconds:.1f}", f"{o.slowest:.2f}"]
    return f"{o.name:<24}" + "".join(f"{n:>{width}}" for n, width in zip(numbers, COLUMNS.values(), strict=True))


if __name__ == "__main__":
    sys.exit(main())
