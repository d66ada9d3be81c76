"""What each kind of `minigpt bench` measures: the values, and the same in words.

Wall times say little without what the machine was doing, so a contest's load is noted before it, and the machine is
measured after it (see `conditions`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from minigpt.blocks.mixed import low_dtype
from minigpt.core.backend import get_backend
from minigpt.core.cores import available_cores
from minigpt.core.errors import UserError
from minigpt.core.files import read_text
from minigpt.core.progress import progress_bar
from minigpt.distributed.ranks import Ranks
from minigpt.lab.benchmark import report
from minigpt.lab.benchmark import tokenizer as tokenizers
from minigpt.lab.benchmark.attention import DEFAULT_SHAPES, TORCH_BACKENDS, Shape, bench_shape, bench_torch, contestants
from minigpt.lab.benchmark.conditions import load_average, measured_conditions
from minigpt.lab.benchmark.decode import LONG_PROMPT, bench_decode, bench_reading
from minigpt.lab.benchmark.events import ceilings_of, device_name
from minigpt.lab.benchmark.gpu_step import bench_gpu_step
from minigpt.lab.benchmark.profile import profile_step
from minigpt.lab.benchmark.ranks import bench_ranks
from minigpt.lab.benchmark.scaling import AXES, BASE, bench_scaling, described, scaling_figure
from minigpt.lab.benchmark.shapes import GPU_SHAPES, SHAPES
from minigpt.lab.benchmark.step import bench_step
from minigpt.lab.plot import save_figure

Found = tuple[dict[str, Any], str]
RIVALS = ("tokenizers", "tiktoken")


def _check_torch() -> None:
    """Raise UserError if PyTorch is not there."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise UserError("comparing with PyTorch needs it: in the clone, pip install '.[parity]'") from None


def _contest(
    names: Sequence[str],
    bench: Callable[..., dict[str, Any]],
    said: Callable[[dict[str, Any]], Iterable[str]],
    head: str,
    *,
    repeats: int,
    workers: int | None,
    clock: str,
    **how: Any,
) -> Found:
    """Time a kind of contest at several shapes.

    Args:
        said: lines about one of its results.
        head: what is timed; it may name {workers}.
    """
    workers, load = workers or available_cores(), load_average()
    how |= {"rounds": repeats, "workers": workers, "clock": clock}
    with progress_bar(total=repeats * len(names), unit="round", leave=False) as bar:
        results = {name: bench(name, progress=bar.update, **how) for name in names}
    conditions = measured_conditions(load=load)
    lines = [conditions.sentence(), f"{head.format(workers=workers)}; {report.clock(clock)}"]
    for name, result in results.items():
        first, *more = said(result)
        lines += [f"{name}: {first}", *more]
    values = {"shapes": results, "workers": workers, "clock": clock, "machine": conditions.values()}
    return values, "\n".join(lines)


def step(
    names: Sequence[str] | None,
    backend: str,
    *,
    dtype: str,
    against: Sequence[str],
    repeats: int,
    workers: int | None,
    clock: str,
    profile: bool,
) -> Found:
    """A training step on a CPU, or with `profile` its operations in one thread; on a GPU what `_gpu_step` says."""
    if any(name.startswith("torch") for name in against):
        _check_torch()
    if backend == "cupy":
        return _gpu_step(names or ["G"], dtype, against, repeats)
    names = names or ["S", "M", "L"]
    if dtype != "float32" or not set(names) <= set(SHAPES):
        raise UserError(f"on a CPU a step is timed in float32, at shapes {', '.join(SHAPES)}")
    if profile:
        parts = {name: profile_step(name, repeats=repeats, clock=clock) for name in names}
        return {"shapes": parts}, "\n".join(report.profile(parts, repeats, clock))
    bench = partial(bench_step, backend=backend, against=against)
    head = f"{backend}, {{workers}} workers; step = forward + backward + AdamW, float32"
    how: dict[str, Any] = {"repeats": repeats, "workers": workers, "clock": clock}
    values, text = _contest(names, bench, lambda r: [report.times(r)], head, **how)
    return values | {"backend": backend}, text


def _gpu_step(names: Sequence[str], dtype: str, against: Sequence[str], repeats: int) -> Found:
    if not set(names) <= set(GPU_SHAPES):
        raise UserError(f"on a GPU a step is timed at shapes {', '.join(GPU_SHAPES)}")
    low_dtype(dtype)
    backend = get_backend("cupy")
    ceilings = ceilings_of(backend, dtype)
    results = {}
    with progress_bar(total=len(names), unit="shape", leave=False) as bar:
        for name in names:
            results[name] = bench_gpu_step(name, backend, dtype, repeats=repeats, against=against, ceilings=ceilings)
            bar.update()
    device, measured = device_name(backend), {name: ceiling._asdict() for name, ceiling in ceilings.items()}
    head = f"{device}, {dtype}; step = forward + backward + clipping + AdamW, medians"
    text = "\n".join([head, *(f"{name}: {report.gpu_step(r)}" for name, r in results.items())])
    return {"shapes": results, "device": device, "dtype": dtype, "ceilings": measured}, text


def step_on_ranks(names: Sequence[str] | None, ranks: Ranks, *, repeats: int, alone: bool) -> Found:
    """A step on ranks, the share of their exchange, what a rank holds.

    Args:
        alone: whether nothing else is to be timed or profiled beside.
    """
    if ranks.size == 1:
        raise UserError("--ranks times several processes: mpiexec -n 2 minigpt bench step --ranks")
    names = names or ["S", "M"]
    if not alone or not set(names) <= set(SHAPES):
        raise UserError(f"with --ranks a step is timed alone, at shapes {', '.join(SHAPES)}")
    results = {name: bench_ranks(SHAPES[name], ranks, rounds=repeats) for name in names}
    head = f"{ranks.size} ranks, a shard each; step = forward + backward + AdamW, float32; medians [quartiles]"
    text = "\n".join([head, *(f"{name}: {report.ranks(r)}" for name, r in results.items())])
    return {"shapes": results, "ranks": ranks.size}, text


def decode(names: Sequence[str] | None, *, prompt: bool, against: Sequence[str], busy: int, **how: Any) -> Found:
    """One text, token by token, or the reading of a prompt, beside so many busy processes."""
    if set(against) - {"torch", "int8"}:
        raise UserError("decoding is compared with torch and int8 only")
    if "torch" in against:
        _check_torch()
    if not (prompt or set(names or ()) <= set(SHAPES)):
        raise UserError("SmolLM is timed reading a prompt only: --prompt")
    what = f"reading a prompt of {LONG_PROMPT} tokens" if prompt else "one text, KV cache; a token's time"
    beside = f"; beside {busy} busy" if busy else ""
    bench = partial(bench_reading if prompt else bench_decode, against=against, busy=busy)

    def said(result: dict[str, Any]) -> list[str]:
        return [report.times(result), *([] if prompt else [report.of_limit(result)])]

    values, text = _contest(names or ["L"], bench, said, f"{what}; float32, {{workers}} BLAS threads{beside}", **how)
    return values | {"busy": busy}, text


def machine(repeats: int) -> Found:
    """What the other benchmarks say of the machine, by itself."""
    conditions = measured_conditions(repeats, load=load_average())
    return conditions.values(), conditions.sentence()


def scaling(out: Path, *, repeats: int, workers: int | None, clock: str) -> Found:
    """How time and memory of a step grow with the model, with a plot."""
    if out.exists():
        raise UserError(f"{out} exists; give another --out")
    workers, load = workers or available_cores(), load_average()
    with progress_bar(total=sum(len(values) for values in AXES.values()), unit="shape", leave=False) as bar:
        records = bench_scaling(rounds=repeats, workers=workers, clock=clock, progress=bar.update)
    plot = str(save_figure(scaling_figure(records), out))
    conditions = measured_conditions(load=load)
    step = f"step = forward + backward + AdamW, float32; otherwise {described(BASE)}"
    lines = [conditions.sentence(), f"{workers} workers; {step}; {report.clock(clock)}", *report.scaling(records), plot]
    return {"records": records, "workers": workers, "plot": plot, "machine": conditions.values()}, "\n".join(lines)


def attention(
    name: str | None,
    dtype: str,
    shapes: Sequence[Shape],
    *,
    only: Sequence[str],
    causal: bool,
    repeats: int,
    torch: bool,
) -> Found:
    """Every implementation of attention on a backend, forward and backward.

    Args:
        only: names of those that are timed; empty for all.
        torch: time PyTorch's as well.
    """
    backend = get_backend(name)  # fails here, with one sentence, if it cannot run
    low_dtype(dtype)
    if torch:
        _check_torch()
    on_gpu = backend.name == "cupy"
    ceilings = ceilings_of(backend, dtype) if on_gpu else {}
    settings: dict[str, Any] = {"causal": causal, "repeats": repeats, "ceilings": ceilings}
    shapes = shapes or DEFAULT_SHAPES[backend.name]
    results: dict[str, dict[str, Any]] = {}
    with progress_bar(total=len(shapes), unit="shape", leave=False) as bar:
        for one in shapes:
            found = contestants(backend, one, dtype)
            entrants = [c for c in found if not only or c.name.removesuffix(" (emulated)") in only]
            rows = {c.name: bench_shape(c, backend, one, dtype, **settings) for c in entrants}
            for kernel in TORCH_BACKENDS[backend.name] if torch else ():
                title = " ".join(["torch", *kernel.lower().split("_")[:1]]).strip()
                rows[title] = bench_torch(backend, one, dtype, **settings, kernel=kernel)
            results[str(one)] = rows
            bar.update()
    device, lines = device_name(backend) if on_gpu else "CPU", [report.ceiling(*c) for c in ceilings.items()]
    for shape, rows in results.items():
        lines += [shape, *(f"  {title:<22} {report.attention(row)}" for title, row in rows.items())]
    text = "\n".join([f"{device}, {dtype}; forward and backward, medians", *lines])
    measured = {title: ceiling._asdict() for title, ceiling in ceilings.items()}
    return {"shapes": results, "device": device, "dtype": dtype, "ceilings": measured}, text


def tokenizer(files: Sequence[str], against: str, *, merges: int, repeats: int, vocab: str | None, clock: str) -> Found:
    """Our byte-level BPE side by side with Hugging Face's and tiktoken.

    Args:
        against: their names, with commas between them.
    """
    rivals = [name for name in against.split(",") if name]
    for name in rivals:
        if name not in RIVALS:
            raise UserError(f"cannot compare with {name!r}: choose from {', '.join(RIVALS)}")
        if importlib.util.find_spec(name) is None:
            raise UserError(f"{name} is not installed: pip install {name}, or leave it out of --against")
    for file in files:
        read_text(file)  # fails here, with one sentence, if it cannot be read
    conditions = measured_conditions(load=load_average())
    with progress_bar(total=repeats, unit="round", leave=False) as bar:
        result = tokenizers.bench(files, merges, repeats, rivals, vocab, clock, progress=bar.update)
    text = "\n".join([conditions.sentence(), *report.tokenizer(result, repeats, clock)])
    return result | {"clock": clock, "machine": conditions.values()}, text
