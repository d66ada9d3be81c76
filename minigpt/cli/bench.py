"""`minigpt bench`: how fast this machine trains and decodes, and against what."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minigpt.blocks.mixed import DTYPES
from minigpt.cli import bench_attention
from minigpt.cli.bench_gpu_step import run_gpu_step
from minigpt.cli.bench_tokenizer import add_bench_parser
from minigpt.cli.commands import COMMANDS
from minigpt.cli.common import at_least, new_parser, print_json
from minigpt.core.backend import get_backend
from minigpt.core.cores import available_cores
from minigpt.core.errors import UserError
from minigpt.core.progress import progress_bar
from minigpt.lab.benchmark.decode import bench_decode
from minigpt.lab.benchmark.gpu_step import GPU_SHAPES
from minigpt.lab.benchmark.profile import profile_step
from minigpt.lab.benchmark.shapes import SHAPES
from minigpt.lab.benchmark.step import OPPONENTS, bench_step

_WORKERS = "processes, or threads where the system cannot fork; by default one for each core"


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "bench",
        help=COMMANDS["bench"],
        description="Measure speed on this machine.",
        epilog="Example:\n  minigpt bench step --shape S",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(metavar="WHAT", required=True)
    _add_step_parser(kinds)
    _add_decode_parser(kinds)
    _add_scaling_parser(kinds)
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
    if any(name.startswith("torch") for name in against):
        try:
            import torch  # noqa: F401
        except ImportError:
            raise UserError("comparing with PyTorch needs it: in the clone, pip install '.[parity]'") from None


def _named(names: dict[str, str]) -> str:
    return ", ".join(f"{name} ({what})" for name, what in names.items())


def _add_step_parser(kinds: Any) -> None:
    step = new_parser(kinds, "step", "time a training step", "minigpt bench step --shape S --against torch")
    shapes = "; ".join(f"{name} is {shape.about}" for name, shape in SHAPES.items())
    choices = dict.fromkeys([*SHAPES, *GPU_SHAPES])
    step.add_argument(
        "--shape", action="append", choices=choices, help=f"may be repeated; by default S, M, L: {shapes}"
    )
    step.add_argument("--repeats", type=at_least(1), default=20, metavar="N", help="undisturbed rounds of each shape")
    step.add_argument("--workers", type=at_least(1), metavar="N", help=_WORKERS)
    step.add_argument("--backend", choices=("numpy", "cupy"), help="where to compute; by default numpy")
    step.add_argument(
        "--against", type=opponents, default=[], metavar="WHAT", help=f"time in the same run: {_named(OPPONENTS)}"
    )
    step.add_argument(
        "--profile", action="store_true", help="say instead which operation takes how long, in one thread"
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
    if args.profile:
        return _profile(names, args.repeats, args.json)
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


def _profile(names: list[str], repeats: int, as_json: bool) -> int:
    """Print where a step's time goes: one thread, with the rows that one of two workers would have."""
    results = {name: profile_step(name, repeats=repeats) for name in names}
    if as_json:
        print_json({"shapes": results})
        return 0
    for name, parts in results.items():
        total = sum(parts.values())
        print(f"{name}: {total:.1f} ms in one thread, half the batch; medians of {repeats}")
        for operation, ms in parts.items():
            print(f"   {operation:<28} {ms:9.3f} ms {100 * ms / total:6.1f}%")
    return 0


def _add_decode_parser(kinds: Any) -> None:
    decode = new_parser(
        kinds, "decode", "time writing one text, token by token", "minigpt bench decode --shape L --against torch"
    )
    decode.add_argument("--shape", action="append", choices=("S", "M", "L"), help="may be repeated; by default L")
    decode.add_argument("--repeats", type=at_least(1), default=20, metavar="N", help="undisturbed rounds of each shape")
    decode.add_argument("--workers", type=at_least(1), metavar="N", help="BLAS threads; by default one for each core")
    decode.add_argument("--against", type=opponents, default=[], metavar="WHAT", help="torch: time it in the same run")
    decode.set_defaults(run=run_decode)


def run_decode(args: argparse.Namespace) -> int:
    if set(args.against) - {"torch"}:
        raise UserError("decoding is compared with torch only")
    check_torch(args.against)
    names, workers = args.shape or ["L"], args.workers or available_cores()
    with progress_bar(total=args.repeats * len(names), unit="round", leave=False) as bar:
        results = {
            name: bench_decode(name, rounds=args.repeats, workers=workers, against=args.against, progress=bar.update)
            for name in names
        }
    if args.json:
        print_json({"shapes": results, "workers": workers})
        return 0
    print(f"one text, KV cache, float32, {workers} BLAS threads; a token's time, medians [95% interval]")
    for name, r in results.items():
        low, high = r["of_limit_interval"]
        limit = f"{100 * r['of_limit']:.0f}% [{100 * low:.0f}, {100 * high:.0f}] of what reading the weights allows"
        print(f"{name}: {_times(r)}\n   {limit} ({r['gb_per_second']:.1f} GB/s)")
    return 0


def _add_scaling_parser(kinds: Any) -> None:
    scaling = new_parser(
        kinds,
        "scaling",
        "plot a step's time and memory against T, C, L and B",
        "minigpt bench scaling --out scaling.png",
    )
    scaling.add_argument("--out", type=Path, default=Path("scaling.png"), help="the plot; by default scaling.png")
    scaling.add_argument("--repeats", type=at_least(1), default=7, metavar="N", help="undisturbed rounds of each shape")
    scaling.add_argument("--workers", type=at_least(1), metavar="N", help=_WORKERS)
    scaling.set_defaults(run=run_scaling)


def run_scaling(args: argparse.Namespace) -> int:
    from minigpt.lab.benchmark.scaling import AXES, BASE, bench_scaling, described, scaling_figure
    from minigpt.lab.plot import save_figure  # matplotlib takes a second to import

    if args.out.exists():
        raise UserError(f"{args.out} exists; give another --out")
    workers = args.workers or available_cores()
    with progress_bar(total=sum(len(values) for values in AXES.values()), unit="shape", leave=False) as bar:
        records = bench_scaling(rounds=args.repeats, workers=workers, progress=bar.update)
    plot = save_figure(scaling_figure(records), args.out)
    if args.json:
        print_json({"records": records, "workers": workers, "plot": str(plot)})
        return 0
    print(f"{workers} workers; step = forward + backward + AdamW, float32; otherwise {described(BASE)}")
    for r in records:
        low, high = r["interval"]
        time = f"{r['us_per_token']:8.2f} µs per token [{low:.2f}, {high:.2f}]"
        print(f"{r['axis']:>8} {r['value']:5}  {time}  {r['peak_mb'] or 0:7,.0f} MB")
    print(plot)
    return 0


def _times(r: dict[str, Any]) -> str:
    low, high = r["ms_interval"]
    lines = [f"{r['ms']:.1f} ms [{low:.1f}, {high:.1f}], {r['tokens_per_second']:,.0f} tokens/s"]
    if r["peak_mb"]:
        lines[0] += f", peak {r['peak_mb']:,.0f} MB"
    lines[0] += f"; {r['rounds']} rounds, {r['dropped']} disturbed ones dropped"
    for other, ratio in r["ratio"].items():
        low, high = r["ratio_interval"][other]
        what = {"gemm": "its own matrix products", "limit": "one product over the weights' bytes"}.get(other, other)
        memory = f", memory {r['memory_ratio'][other]:.2f}x" if other in r["memory_ratio"] else ""
        lines.append(f"   {ratio:.2f}x [{low:.2f}, {high:.2f}] {what} ({r['others_ms'][other]:.1f} ms){memory}")
    return "\n".join(lines)
