"""`minigpt bench`: how fast it is on this machine."""

from __future__ import annotations

import argparse
import multiprocessing
import queue
from typing import Any

from tqdm import tqdm

from minigpt.backend import get_backend
from minigpt.benchmark import SHAPES, bench_step
from minigpt.commands.bench_tokenizer import add_bench_parser
from minigpt.commands.common import at_least, new_parser, print_json
from minigpt.errors import UserError
from minigpt.progress import progress_bar
from minigpt.train.shards import available_cores


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "bench",
        help="measure speed on this machine",
        description="Measure speed on this machine.",
        epilog="Example:\n  minigpt bench step --shape S",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(metavar="WHAT", required=True)
    _add_step_parser(kinds)
    add_bench_parser(kinds)


def _add_step_parser(kinds: Any) -> None:
    step = new_parser(kinds, "step", "time a training step", "minigpt bench step --shape S --shape M")
    shapes = "; ".join(f"{name} is {shape.about}" for name, shape in SHAPES.items())
    step.add_argument("--shape", action="append", choices=SHAPES, help=f"may be repeated; by default all: {shapes}")
    step.add_argument("--repeats", type=at_least(1), default=20, metavar="N", help="timed steps of each shape")
    step.add_argument("--workers", type=at_least(1), metavar="N", help="threads; by default one for each core")
    step.add_argument("--backend", choices=("numpy", "cupy"), help="where to compute; by default numpy")
    step.set_defaults(run=run_step)


def _in_its_own_process(name: str, options: dict[str, Any], messages: Any) -> None:
    options["backend"] = get_backend(options["backend"])
    messages.put(bench_step(name, progress=lambda: messages.put("step"), **options))


def _bench(name: str, options: dict[str, Any], bar: tqdm) -> dict[str, Any]:
    """Time one shape in a fresh process, so that its peak memory is its own."""
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    process = context.Process(target=_in_its_own_process, args=(name, options, messages), daemon=True)
    process.start()
    while True:
        try:
            message = messages.get(timeout=1)
        except queue.Empty:
            if not process.is_alive():
                raise UserError(f"timing shape {name} ended early; is there enough memory for it?") from None
            continue
        if message != "step":
            process.join()
            return message
        bar.update()


def run_step(args: argparse.Namespace) -> int:
    names = args.shape or list(SHAPES)
    backend = get_backend(args.backend).name  # fails here, with one sentence, if it cannot run
    workers = args.workers or (available_cores() if backend == "numpy" else 1)
    options = {"repeats": args.repeats, "workers": workers, "backend": backend}
    with progress_bar(total=args.repeats * len(names), unit="step", leave=False) as bar:
        results = {name: _bench(name, dict(options), bar) for name in names}
    if args.json:
        print_json({"shapes": results, "workers": workers, "backend": backend})
        return 0
    print(f"{backend}, {workers} workers; step = forward + backward + AdamW, float32, median of {args.repeats}")
    for name, r in results.items():
        gemm = f", {r['ratio']['gemm']:.2f} x its own matrix products" if "gemm" in r["ratio"] else ""
        peak = f", peak {r['peak_mb']:,.0f} MB" if r["peak_mb"] else ""
        print(
            f"{name}: {r['ms']:.1f} ms ({r['ms_p10']:.1f} to {r['ms_p90']:.1f}), "
            f"{r['tokens_per_second']:,.0f} tokens/s{gemm}{peak}"
        )
    return 0
