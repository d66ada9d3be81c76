"""A plan as text to read, and as values for programs."""

from __future__ import annotations

import math
from typing import Any

from minigpt.lab.plan.estimate import MFU_RANGE, Plan
from minigpt.lab.plan.flops import PF_DAY
from minigpt.lab.plan.hardware import NODE
from minigpt.lab.plan.layout import USABLE, Layout
from minigpt.lab.plan.memory import (
    kept_bytes,
    kept_numbers,
    package_state_bytes,
    sharded,
    state_bytes,
    usual_bytes,
    usual_output_bytes,
)


def amount(value: float) -> str:
    """A large number in words that people use: 174.6B."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def in_bytes(value: float) -> str:
    for size, letter in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:,.3g} {letter}" if value < 1000 * size else f"{value / size:,.0f} {letter}"
    return f"{value:.0f} B"


def in_time(seconds: float) -> str:
    if seconds >= 86400:
        return f"{seconds / 86400:,.3g} days" if seconds < 86400e3 else f"{seconds / 86400:,.0f} days"
    if seconds >= 60:
        return f"{seconds / 3600:.3g} hours" if seconds >= 3600 else f"{seconds / 60:.3g} minutes"
    return f"{seconds:.3g} seconds"


def values(p: Plan) -> dict[str, Any]:
    """Everything, for --json."""
    w = p.workload
    return {
        "name": p.name,
        "parameters": {"total": w.parameters, "non_embedding": w.non_embedding, "groups": w.groups},
        "tokens": p.tokens,
        "flops": {
            "six_n_d": p.six_n_d,
            "pf_days": p.six_n_d / PF_DAY,
            "exact": p.flops,
            "row_forward": p.row._asdict(),
            "recomputed": p.row.computed("full") * p.tokens / w.row_tokens,
        },
        "memory": memory_values(p),
        "hardware": {"gpu": p.gpu.name, "gpus": p.gpus, "precision": p.precision, "fits_on": p.fits_on},
        "layout": None if p.layout is None else _layout_values(p.layout),
        "time": {"mfu": p.mfu, "seconds": p.seconds(), "gpu_hours": p.gpu_hours(), "cost": p.cost()},
        "seconds_at_mfu": {str(mfu): p.seconds(mfu) for mfu in MFU_RANGE},
    }


def memory_values(p: Plan) -> dict[str, Any]:
    """Bytes: the training state, and one row's activations by who keeps them."""
    w = p.workload

    def usual(**how: str) -> float:
        blocks = sum(s.layers * usual_bytes(s, precision=p.precision, **how) for s in w.stacks)
        return blocks + usual_output_bytes(w, precision=p.precision)

    return {
        "state": {k: v * w.parameters for k, v in state_bytes(p.precision)._asdict().items()},
        "state_on_each_gpu": {  # by ZeRO's stages, if all GPUs were data parallel
            str(stage): sharded(state_bytes(p.precision), stage, p.gpus) * w.parameters for stage in range(4)
        },
        "package_state": sum(package_state_bytes(p.precision)) * w.parameters,
        "row": {
            "scores kept": usual(attention="scores"),
            "selective recomputation": usual(attention="scores", recompute="selective"),
            "flash": usual(),
            "full recomputation": usual(recompute="full")
            + max(usual_bytes(s, precision=p.precision) for s in w.stacks),
        },
        "package_row": {
            "minigpt, float32": kept_bytes(w),
            "minigpt, float32, plain operations": kept_bytes(w, table="plain"),
            "minigpt, float32, train.recompute": kept_bytes(w, recompute=True)
            + 4 * max(kept_numbers(s) for s in w.stacks),
        },
    }


def _layout_values(layout: Layout) -> dict[str, Any]:
    return layout._replace(split=layout.split._asdict())._asdict()


def text(p: Plan) -> str:
    return "\n".join([*_parameters(p), *_arithmetic(p), *_memory(p), *_layout(p), *_time(p), *_assumptions(p)])


def _parameters(p: Plan) -> list[str]:
    w = p.workload
    lines = [f"{p.name}: {w.parameters:,} parameters, {w.non_embedding:,} of them in the blocks"]
    return lines + [f"  {name:<24}{count:>18,}" for name, count in w.groups.items() if count]


def _arithmetic(p: Plan) -> list[str]:
    w, row = p.workload, p.row
    share = row.attention / row.forward
    return [
        "",
        f"arithmetic for {amount(p.tokens)} tokens",
        f"  6 N D, all parameters   {p.six_n_d:.3g} FLOPs = {p.six_n_d / PF_DAY:.3g} PF-days",
        f"  counted                 {p.flops:.3g} FLOPs = {p.flops / PF_DAY:.3g} PF-days, "
        f"forward {p.flops / 3:.3g} and backward {p.flops * 2 / 3:.3g}",
        f"    attention's products are {100 * share:.1f}% of it; with every T x T score of banded and masked "
        f"layers {100 * row.attention_full / (row.forward - row.attention + row.attention_full):.1f}%",
        f"  with full recomputation {row.computed('full') * p.tokens / w.row_tokens:.3g} FLOPs are done "
        f"({row.computed('full') / row.training:.2f}x)",
    ]


def _memory(p: Plan) -> list[str]:
    values = memory_values(p)
    state = values["state"]
    parts = ", ".join(f"{name} {in_bytes(size)}" for name, size in state.items() if size)
    lines = [
        "",
        f"memory, {p.precision}",
        f"  training state          {in_bytes(sum(state.values()))}: {parts} "
        f"(minigpt {in_bytes(values['package_state'])}, its gradients are float32)",
    ]
    if p.gpus > 1:
        each = ", ".join(f"{stage}: {in_bytes(size)}" for stage, size in values["state_on_each_gpu"].items())
        lines.append(f"    on each of {p.gpus:,}, by ZeRO's stage, without other parallelism  {each}")
    lines.append(f"  activations of one row of {p.workload.row_tokens:,} tokens, output layer included")
    rows = values["row"] | values["package_row"]
    return lines + [f"    {name:<36}{in_bytes(size):>10}" for name, size in rows.items()]


def _layout(p: Plan) -> list[str]:
    where = f"{p.gpus:,} x {p.gpu.name} ({in_bytes(p.gpu.memory)}"
    lines = ["", f"layout on {where}, {p.gpu.peak(p.precision) / 1e12:.3g} TFLOP/s), {p.rows:,} rows a step"]
    if p.layout is None:
        hint = f"; {p.fits_on} are enough" if p.fits_on and p.fits_on > p.gpus else ""
        return [*lines, f"  nothing fits that uses them all{hint}"]
    s, layout = p.layout.split, p.layout
    held = ", ".join(f"{name} {in_bytes(size)}" for name, size in layout.memory.items())
    sent = ", ".join(f"{name} {in_bytes(size)}" for name, size in layout.traffic.items() if size)
    lines += [
        f"  data {s.data} x tensor {s.tensor} x pipeline {s.pipeline}, ZeRO stage {s.zero}, "
        f"recomputation {s.recompute}; {s.micro_batches} micro-batches of {s.micro_rows} rows a replica",
        f"  {'it holds' if p.gpu.measured else 'the fullest GPU holds':<24}{in_bytes(layout.bytes)}: {held}",
        f"  pipeline bubble         {100 * layout.bubble:.1f}% of a step",
    ]
    if sent:
        lines.append(f"  a GPU sends, each step  {sent}")
    total = sum(layout.seconds.values())
    parts = ", ".join(f"{name} {100 * seconds / total:.0f}%" for name, seconds in layout.seconds.items() if seconds)
    lines.append(f"  a step at peak speed    {parts}; {100 * layout.ceiling:.0f}% of the peak is useful at best")
    if p.mfu > layout.ceiling:
        lines.append(
            f"  the assumed MFU of {p.mfu:.2f} is more than this layout allows without hiding what is sent: "
            f"expect at most {layout.ceiling:.2f}"
        )
    return lines


def _money(cost: float) -> str:
    return f"{cost:,.0f}" if cost >= 100 or not cost else f"{cost:.2g}"


def _time(p: Plan) -> list[str]:
    hours = f"{p.gpu_hours():,.0f}" if p.gpu_hours() >= 10 else f"{p.gpu_hours():.2g}"
    of = "machine" if p.gpu.measured else "GPU"
    price = "" if p.price is None else f", {_money(p.cost())} at {p.price:g} an hour"
    others = ", ".join(f"{in_time(p.seconds(mfu))} at {mfu}" for mfu in MFU_RANGE if not math.isclose(mfu, p.mfu))
    return [
        "",
        f"time at an MFU of {p.mfu:g}: {in_time(p.seconds())}, {hours} {of} hours{price}",
        f"  {others}",
    ]


def _assumptions(p: Plan) -> list[str]:
    source = "measured here just now" if p.gpu.measured else "the makers' figures"
    lines = [
        "",
        f"Assumed: the MFU (time and cost are inversely proportional to it), {100 * USABLE:.0f}% usable memory"
        + (f", nodes of {NODE} with {p.gpu.link / 1e9:g} GB/s inside and {p.gpu.network / 1e9:g} GB/s between them "
           "for each GPU" if p.gpus > 1 else "")
        + f". Peak speed and memory are {source}; "
        "parameters and arithmetic are exact for this configuration.",
    ]  # fmt: skip
    if p.workload.family in ("bart", "transformer"):
        lines.append("Source and target are taken to be equally long; tokens are the target's.")
    return lines
