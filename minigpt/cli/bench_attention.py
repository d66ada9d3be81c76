"""`minigpt bench attention`: every implementation of attention, forward and backward, at given shapes."""

from __future__ import annotations

import argparse
from typing import Any

from minigpt.blocks.mixed import low_dtype
from minigpt.cli.bench import check_torch
from minigpt.cli.common import show
from minigpt.core.backend import get_backend
from minigpt.core.progress import progress_bar
from minigpt.lab.benchmark import report
from minigpt.lab.benchmark.attention import DEFAULT_SHAPES, TORCH_BACKENDS, bench_shape, bench_torch, contestants
from minigpt.lab.benchmark.events import ceilings_of, device_name


def run(args: argparse.Namespace) -> None:
    backend = get_backend(args.backend)  # fails here, with one sentence, if it cannot run
    low_dtype(args.dtype)
    if args.against:
        check_torch()
    on_gpu = backend.name == "cupy"
    ceilings = ceilings_of(backend, args.dtype) if on_gpu else {}
    settings = {"causal": not args.no_causal, "repeats": args.repeats, "ceilings": ceilings}
    shapes = args.shape or DEFAULT_SHAPES[backend.name]
    results: dict[str, dict[str, Any]] = {}
    with progress_bar(total=len(shapes), unit="shape", leave=False) as bar:
        for one in shapes:
            entrants = [c for c in contestants(backend, one, args.dtype) if not args.only or _named(c.name, args.only)]
            rows = {c.name: bench_shape(c, backend, one, args.dtype, **settings) for c in entrants}
            if args.against:
                for kernel in TORCH_BACKENDS[backend.name]:
                    name = " ".join(["torch", *kernel.lower().split("_")[:1]]).strip()
                    rows[name] = bench_torch(backend, one, args.dtype, **settings, kernel=kernel)
            results[str(one)] = rows
            bar.update()
    device, lines = device_name(backend) if on_gpu else "CPU", [report.ceiling(*found) for found in ceilings.items()]
    for shape, rows in results.items():
        lines += [shape, *(f"  {name:<22} {report.attention(row)}" for name, row in rows.items())]
    text = "\n".join([f"{device}, {args.dtype}; forward and backward, medians", *lines])
    measured = {name: ceiling._asdict() for name, ceiling in ceilings.items()}
    show(args, {"shapes": results, "device": device, "dtype": args.dtype, "ceilings": measured}, text)


def _named(name: str, only: list[str]) -> bool:
    return name.removesuffix(" (emulated)") in only
