"""`minigpt bench`: how fast this machine trains and decodes, and against what."""

from __future__ import annotations

import argparse
from typing import Any

from minigpt.cli.bench_gpu_step import run_gpu_step
from minigpt.cli.bench_ranks import run_ranks
from minigpt.cli.common import show
from minigpt.core.backend import get_backend
from minigpt.core.cores import available_cores
from minigpt.core.errors import UserError
from minigpt.core.progress import progress_bar
from minigpt.distributed.launch import launched
from minigpt.lab.benchmark.conditions import load_average, measured_conditions
from minigpt.lab.benchmark.decode import LONG_PROMPT, bench_decode, bench_reading
from minigpt.lab.benchmark.profile import profile_step
from minigpt.lab.benchmark.scaling import AXES, BASE, bench_scaling, described, scaling_figure
from minigpt.lab.benchmark.shapes import SHAPES
from minigpt.lab.benchmark.step import bench_step


def check_torch() -> None:
    """Raise UserError if PyTorch is not there."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise UserError("comparing with PyTorch needs it: in the clone, pip install '.[parity]'") from None


def run_step(args: argparse.Namespace) -> None:
    if args.ranks:
        run_ranks(args)
        return
    if launched().rank:
        return  # without --ranks, one process does it
    backend = get_backend(args.backend).name  # fails here, with one sentence, if it cannot run
    if any(name.startswith("torch") for name in args.against):
        check_torch()
    if backend == "cupy":
        run_gpu_step(args)
        return
    names = args.shape or ["S", "M", "L"]
    if args.dtype != "float32" or not set(names) <= set(SHAPES):
        raise UserError(f"on a CPU a step is timed in float32, at shapes {', '.join(SHAPES)}")
    if args.profile:
        _profile(args, names)
        return
    workers = args.workers or available_cores()
    load = load_average()
    options = {
        "rounds": args.repeats,
        "workers": workers,
        "backend": backend,
        "against": args.against,
        "clock": args.clock,
    }
    with progress_bar(total=args.repeats * len(names), unit="round", leave=False) as bar:
        results = {name: bench_step(name, progress=bar.update, **options) for name in names}
    conditions = measured_conditions(load=load)
    head = f"{backend}, {workers} workers; step = forward + backward + AdamW, float32; {_clock(args)}"
    lines = [conditions.sentence(), head, *(f"{name}: {_times(r)}" for name, r in results.items())]
    values = {"shapes": results, "workers": workers, "backend": backend, "clock": args.clock}
    show(args, values | {"machine": conditions.values()}, "\n".join(lines))


def _profile(args: argparse.Namespace, names: list[str]) -> None:
    """Print where a step's time goes: one thread, with the rows that one of two workers would have."""
    results = {name: profile_step(name, repeats=args.repeats, clock=args.clock) for name in names}
    lines = []
    for name, parts in results.items():
        total, clock = sum(parts.values()), "processor" if args.clock == "cpu" else "wall"
        lines.append(f"{name}: {total:.1f} ms in one thread, half the batch; {clock} time, medians of {args.repeats}")
        lines += [f"   {operation:<28} {ms:9.3f} ms {100 * ms / total:6.1f}%" for operation, ms in parts.items()]
    show(args, {"shapes": results}, "\n".join(lines))


def run_decode(args: argparse.Namespace) -> None:
    if set(args.against) - {"torch"}:
        raise UserError("decoding is compared with torch only")
    if args.against:
        check_torch()
    names, workers = args.shape or ["L"], args.workers or available_cores()
    load, bench = load_average(), bench_reading if args.prompt else bench_decode
    options = {"rounds": args.repeats, "workers": workers, "against": args.against, "clock": args.clock}
    with progress_bar(total=args.repeats * len(names), unit="round", leave=False) as bar:
        results = {name: bench(name, progress=bar.update, **options) for name in names}
    conditions = measured_conditions(load=load)
    what = f"reading a prompt of {LONG_PROMPT} tokens" if args.prompt else "one text, KV cache; a token's time"
    lines = [conditions.sentence(), f"{what}; float32, {workers} BLAS threads; {_clock(args)}"]
    for name, r in results.items():
        lines.append(f"{name}: {_times(r)}")
        if not args.prompt:
            low, high = r["of_limit_interval"]
            limit = f"{100 * r['of_limit']:.0f}% [{100 * low:.0f}, {100 * high:.0f}] of what reading the weights allows"
            lines.append(f"   {limit} ({r['gb_per_second']:.1f} GB/s)")
    values = {"shapes": results, "workers": workers, "clock": args.clock, "machine": conditions.values()}
    show(args, values, "\n".join(lines))


def run_machine(args: argparse.Namespace) -> None:
    """What the other benchmarks say of the machine, by itself."""
    conditions = measured_conditions(args.repeats, load=load_average())
    show(args, conditions.values(), conditions.sentence())


def run_scaling(args: argparse.Namespace) -> None:
    from minigpt.lab.plot import save_figure  # matplotlib takes a second to import

    if args.out.exists():
        raise UserError(f"{args.out} exists; give another --out")
    workers, load = args.workers or available_cores(), load_average()
    with progress_bar(total=sum(len(values) for values in AXES.values()), unit="shape", leave=False) as bar:
        records = bench_scaling(rounds=args.repeats, workers=workers, clock=args.clock, progress=bar.update)
    plot = str(save_figure(scaling_figure(records), args.out))
    conditions = measured_conditions(load=load)
    step = "step = forward + backward + AdamW, float32"
    head = f"{workers} workers; {step}; otherwise {described(BASE)}; {_clock(args)}"
    lines = [conditions.sentence(), head]
    for r in records:
        low, high = r["interval"]
        time = f"{r['us_per_token']:8.2f} µs per token [{low:.2f}, {high:.2f}]"
        lines.append(f"{r['axis']:>8} {r['value']:5}  {r['operations']:<8}  {time}  {r['peak_mb'] or 0:7,.0f} MB")
    values = {"records": records, "workers": workers, "plot": plot, "machine": conditions.values()}
    show(args, values, "\n".join([*lines, plot]))


def _clock(args: argparse.Namespace) -> str:
    return f"{'processor' if args.clock == 'cpu' else 'wall'} time, medians [95% interval]"


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
