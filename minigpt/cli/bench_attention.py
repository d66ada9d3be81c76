"""`minigpt bench attention`: every implementation of attention, forward and backward, at given shapes."""

from __future__ import annotations

import argparse
from typing import Any

from minigpt.blocks.mixed import low_dtype
from minigpt.cli.common import at_least, new_parser, print_json
from minigpt.core.backend import get_backend
from minigpt.core.errors import UserError
from minigpt.core.progress import progress_bar
from minigpt.lab.benchmark.attention import DEFAULT_SHAPES, Shape, bench_shape, bench_torch, contestants
from minigpt.lab.benchmark.events import Ceiling, device_name, measured_ceiling, stated_ceiling


def shape(text: str) -> Shape:
    """An argument type: BxHxTxD."""
    try:
        return Shape.parse(text)
    except (ValueError, TypeError):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form BxHxTxD, such as 8x12x1024x64") from None


def add_bench_parser(kinds: Any) -> None:
    parser = new_parser(
        kinds,
        "attention",
        "time attention kernel by kernel",
        "minigpt bench attention --backend cupy --dtype bfloat16 --against torch",
    )
    parser.add_argument("--backend", choices=("numpy", "cupy"), help="where to compute; by default numpy")
    parser.add_argument("--shape", type=shape, action="append", metavar="BxHxTxD", help="rows, heads, tokens, width")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--only", action="append", metavar="NAME", help="such as cuda:mma; may be repeated")
    parser.add_argument("--no-causal", action="store_true", help="every query sees every key")
    parser.add_argument("--repeats", type=at_least(1), default=20, metavar="N", help="timed calls of each")
    parser.add_argument("--against", choices=("torch",), help="PyTorch's scaled_dot_product_attention in the same run")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    backend = get_backend(args.backend)  # fails here, with one sentence, if it cannot run
    low_dtype(args.dtype)
    if args.against:
        _check_torch()
    ceilings: dict[str, Ceiling] = {}
    if backend.name == "cupy":
        ceilings["measured"] = measured_ceiling(backend, args.dtype)
        stated = stated_ceiling(backend, args.dtype)
        ceilings |= {} if stated is None else {"stated": stated}
    settings = {"causal": not args.no_causal, "repeats": args.repeats, "ceilings": ceilings}
    shapes = args.shape or DEFAULT_SHAPES[backend.name]
    results: dict[str, dict[str, Any]] = {}
    with progress_bar(total=len(shapes), unit="shape", leave=False) as bar:
        for one in shapes:
            entrants = [c for c in contestants(backend, one, args.dtype) if not args.only or _named(c.name, args.only)]
            rows = {c.name: bench_shape(c, backend, one, args.dtype, **settings) for c in entrants}
            if args.against:
                rows["torch"] = bench_torch(backend, one, args.dtype, **settings)
            results[str(one)] = rows
            bar.update()
    device = device_name(backend) if backend.name == "cupy" else "CPU"
    if args.json:
        measured = {name: ceiling._asdict() for name, ceiling in ceilings.items()}
        print_json({"shapes": results, "device": device, "dtype": args.dtype, "ceilings": measured})
    else:
        _print(results, device, args.dtype, ceilings)
    return 0


def _named(name: str, only: list[str]) -> bool:
    return name.removesuffix(" (emulated)") in only


def _check_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise UserError("comparing with PyTorch needs it: in the clone, pip install '.[parity]'") from None


def _print(results: dict[str, Any], device: str, dtype: str, ceilings: dict[str, Ceiling]) -> None:
    print(f"{device}, {dtype}; forward and backward, medians")
    for name, ceiling in ceilings.items():
        print(f"{name} ceiling: {ceiling.flops / 1e12:.1f} TFLOP/s, {ceiling.bytes / 1e12:.2f} TB/s")
    for one, rows in results.items():
        print(one)
        for name, row in rows.items():
            if "problem" in row:
                print(f"  {name:<22} left out: {row['problem']}")
                continue
            print(f"  {name:<22} " + "   ".join(_describe(row[which]) for which in ("forward", "backward")))


def _describe(row: dict[str, Any]) -> str:
    of = "".join(f", {100 * share:.0f}% of {name}" for name, share in row["of_floor"].items())
    return f"{row['ms']:9.3f} ms {row['flops_per_second'] / 1e12:7.3f} TFLOP/s{of}"
