"""`minigpt bench step --backend cupy`: a training step on a GPU."""

from __future__ import annotations

import argparse
from typing import Any

from minigpt.blocks.mixed import low_dtype
from minigpt.cli.common import show
from minigpt.core.backend import get_backend
from minigpt.core.errors import UserError
from minigpt.core.progress import progress_bar
from minigpt.lab.benchmark.events import ceilings_of, device_name
from minigpt.lab.benchmark.gpu_step import bench_gpu_step
from minigpt.lab.benchmark.shapes import GPU_SHAPES


def run_gpu_step(args: argparse.Namespace) -> None:
    names = args.shape or ["G"]
    if not set(names) <= set(GPU_SHAPES):
        raise UserError(f"on a GPU a step is timed at shapes {', '.join(GPU_SHAPES)}")
    low_dtype(args.dtype)
    backend = get_backend("cupy")
    ceilings = ceilings_of(backend, args.dtype)
    options = {"repeats": args.repeats, "against": args.against, "ceilings": ceilings}
    results = {}
    with progress_bar(total=len(names), unit="shape", leave=False) as bar:
        for name in names:
            results[name] = bench_gpu_step(name, backend, args.dtype, **options)
            bar.update()
    device, measured = device_name(backend), {name: ceiling._asdict() for name, ceiling in ceilings.items()}
    head = f"{device}, {args.dtype}; step = forward + backward + clipping + AdamW, medians"
    text = "\n".join([head, *(f"{name}: {_describe(r)}" for name, r in results.items())])
    show(args, {"shapes": results, "device": device, "dtype": args.dtype, "ceilings": measured}, text)


def _describe(r: dict[str, Any]) -> str:
    lines = [f"{r['ms']:.2f} ms ({r['ms_p10']:.2f} to {r['ms_p90']:.2f}), {r['tokens_per_second']:,.0f} tokens/s"]
    lines[0] += f", pool {r['pool_mb']:,.0f} MB; attention {r['attention']}"
    lines += [f"   {100 * share:.0f}% of the {name} FLOP/s" for name, share in r["utilisation"].items()]
    lines += [f"   {r['ratio'][o]:.2f}x {o} ({r['others_ms'][o]:.2f} ms)" for o in r["ratio"]]
    return "\n".join(lines)
