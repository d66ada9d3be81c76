"""`minigpt bench`: how fast this machine trains and decodes, and against what."""

from __future__ import annotations

import argparse

from minigpt import __version__
from minigpt.blocks.mixed import low_dtype
from minigpt.cli.common import show
from minigpt.core.backend import get_backend
from minigpt.core.cores import available_cores
from minigpt.core.errors import UserError
from minigpt.core.progress import progress_bar
from minigpt.distributed.join import join
from minigpt.distributed.launch import launched
from minigpt.lab.benchmark import report
from minigpt.lab.benchmark.conditions import load_average, measured_conditions
from minigpt.lab.benchmark.decode import LONG_PROMPT, bench_decode, bench_reading
from minigpt.lab.benchmark.events import ceilings_of, device_name
from minigpt.lab.benchmark.gpu_step import bench_gpu_step
from minigpt.lab.benchmark.profile import profile_step
from minigpt.lab.benchmark.ranks import bench_ranks
from minigpt.lab.benchmark.scaling import AXES, BASE, bench_scaling, described, scaling_figure
from minigpt.lab.benchmark.shapes import GPU_SHAPES, SHAPES
from minigpt.lab.benchmark.step import bench_step


def check_torch() -> None:
    """Raise UserError if PyTorch is not there."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise UserError("comparing with PyTorch needs it: in the clone, pip install '.[parity]'") from None


def run_step(args: argparse.Namespace) -> None:
    if args.ranks:
        _on_ranks(args)
        return
    if launched().rank:
        return  # without --ranks, one process does it
    backend = get_backend(args.backend).name  # fails here, with one sentence, if it cannot run
    if any(name.startswith("torch") for name in args.against):
        check_torch()
    if backend == "cupy":
        _on_gpu(args)
        return
    names = args.shape or ["S", "M", "L"]
    if args.dtype != "float32" or not set(names) <= set(SHAPES):
        raise UserError(f"on a CPU a step is timed in float32, at shapes {', '.join(SHAPES)}")
    if args.profile:
        parts = {name: profile_step(name, repeats=args.repeats, clock=args.clock) for name in names}
        show(args, {"shapes": parts}, "\n".join(report.profile(parts, args.repeats, args.clock)))
        return
    workers = args.workers or available_cores()
    load = load_average()
    options = {"rounds": args.repeats, "workers": workers, "against": args.against, "clock": args.clock}
    with progress_bar(total=args.repeats * len(names), unit="round", leave=False) as bar:
        results = {name: bench_step(name, backend=backend, progress=bar.update, **options) for name in names}
    conditions = measured_conditions(load=load)
    head = f"{backend}, {workers} workers; step = forward + backward + AdamW, float32; {report.clock(args.clock)}"
    lines = [conditions.sentence(), head, *(f"{name}: {report.times(r)}" for name, r in results.items())]
    values = {"shapes": results, "workers": workers, "backend": backend, "clock": args.clock}
    show(args, values | {"machine": conditions.values()}, "\n".join(lines))


def _on_gpu(args: argparse.Namespace) -> None:
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
    text = "\n".join([head, *(f"{name}: {report.gpu_step(r)}" for name, r in results.items())])
    show(args, {"shapes": results, "device": device, "dtype": args.dtype, "ceilings": measured}, text)


def _on_ranks(args: argparse.Namespace) -> None:
    """A step on ranks, the share of their exchange, what a rank holds."""
    ranks = join(__version__)
    if ranks.size == 1:
        raise UserError("--ranks times several processes: mpiexec -n 2 minigpt bench step --ranks")
    names = args.shape or ["S", "M"]
    if args.against or args.profile or not set(names) <= set(SHAPES):
        raise UserError(f"with --ranks a step is timed alone, at shapes {', '.join(SHAPES)}")
    results = {name: bench_ranks(SHAPES[name], ranks, rounds=args.repeats) for name in names}
    head = f"{ranks.size} ranks, a shard each; step = forward + backward + AdamW, float32; medians [quartiles]"
    text = "\n".join([head, *(f"{name}: {report.ranks(r)}" for name, r in results.items())])
    show(args, {"shapes": results, "ranks": ranks.size}, text)


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
    lines = [conditions.sentence(), f"{what}; float32, {workers} BLAS threads; {report.clock(args.clock)}"]
    for name, r in results.items():
        lines += [f"{name}: {report.times(r)}", *([] if args.prompt else [report.of_limit(r)])]
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
    step = f"step = forward + backward + AdamW, float32; otherwise {described(BASE)}"
    head = f"{workers} workers; {step}; {report.clock(args.clock)}"
    lines = [conditions.sentence(), head, *report.scaling(records)]
    values = {"records": records, "workers": workers, "plot": plot, "machine": conditions.values()}
    show(args, values, "\n".join([*lines, plot]))
