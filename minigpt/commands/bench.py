"""`minigpt bench`: how fast this machine trains and decodes, and against what."""

from __future__ import annotations

import argparse
from typing import Any

from minigpt.backend import get_backend
from minigpt.benchmark.gpu_step import GPU_SHAPES
from minigpt.benchmark.shapes import SHAPES
from minigpt.benchmark.step import OPPONENTS, bench_step
from minigpt.commands import bench_attention
from minigpt.commands.bench_gpu_step import run_gpu_step
from minigpt.commands.bench_tokenizer import add_bench_parser
from minigpt.commands.common import at_least, new_parser, print_json
from minigpt.errors import UserError
from minigpt.mixed import DTYPES
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
    bench_attention.add_bench_parser(kinds)


def opponents(text: str) -> list[str]:
    """The value of --against: names with commas between them."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in OPPONENTS:
            raise argparse.ArgumentTypeError(f"cannot compare with {name!r}; there are {', '.join(OPPONENTS)}")
    return names


def check_torch(against: list[str]) -> None:
    """Raise UserError if PyTorch is asked for and not there."""
    if against:
        try:
            import torch  # noqa: F401
        except ImportError:
            raise UserError("comparing with PyTorch needs it: pip install 'minigpt[parity]'") from None


def _add_step_parser(kinds: Any) -> None:
    step = new_parser(kinds, "step", "time a training step", "minigpt bench step --shape S --against torch")
    shapes = "; ".join(f"{name} is {shape.about}" for name, shape in SHAPES.items())
    choices = dict.fromkeys([*SHAPES, *GPU_SHAPES])
    step.add_argument(
        "--shape", action="append", choices=choices, help=f"may be repeated; by default S, M, L: {shapes}"
    )
    step.add_argument("--repeats", type=at_least(1), default=20, metavar="N", help="undisturbed rounds of each shape")
    step.add_argument("--workers", type=at_least(1), metavar="N", help="threads; by default one for each core")
    step.add_argument("--backend", choices=("numpy", "cupy"), help="where to compute; by default numpy")
    step.add_argument(
        "--against", type=opponents, default=[], metavar="WHAT", help="torch, torch-compile: time them in the same run"
    )
    step.add_argument(
        "--dtype", choices=("float32", *DTYPES), default="float32", help="what a GPU's step computes with"
    )
    step.set_defaults(run=run_step)


def run_step(args: argparse.Namespace) -> int:
    backend = get_backend(args.backend).name  # fails here, with one sentence, if it cannot run
    check_torch(args.against)
    if backend == "cupy":
        return run_gpu_step(args)
    names = args.shape or ["S", "M", "L"]
    if args.dtype != "float32" or not set(names) <= set(SHAPES):
        raise UserError(f"on a CPU a step is timed in float32, at shapes {', '.join(SHAPES)}")
    workers = args.workers or (available_cores() if backend == "numpy" else 1)
    options = {"rounds": args.repeats, "workers": workers, "backend": backend, "against": args.against}
    with progress_bar(total=args.repeats * len(names), unit="round", leave=False) as bar:
        results = {name: bench_step(name, progress=bar.update, **options) for name in names}
    if args.json:
        print_json({"shapes": results, "workers": workers, "backend": backend})
        return 0
    print(f"{backend}, {workers} workers; step = forward + backward + AdamW, float32; medians [95% interval]")
    for name, r in results.items():
        print(f"{name}: {_times(r)}")
    return 0


def _times(r: dict[str, Any]) -> str:
    low, high = r["ms_interval"]
    lines = [f"{r['ms']:.1f} ms [{low:.1f}, {high:.1f}], {r['tokens_per_second']:,.0f} tokens/s"]
    if r["peak_mb"]:
        lines[0] += f", peak {r['peak_mb']:,.0f} MB"
    lines[0] += f"; {r['rounds']} rounds, {r['dropped']} disturbed ones dropped"
    for other, ratio in r["ratio"].items():
        low, high = r["ratio_interval"][other]
        what = "its own matrix products" if other == "gemm" else other
        memory = f", memory {r['memory_ratio'][other]:.2f}x" if other in r["memory_ratio"] else ""
        lines.append(f"   {ratio:.2f}x [{low:.2f}, {high:.2f}] {what} ({r['others_ms'][other]:.1f} ms){memory}")
    return "\n".join(lines)
