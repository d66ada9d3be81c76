"""A simulation as text to read, and as values for programs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from minigpt.lab.plan.report import in_bytes, in_time
from minigpt.lab.simulate.study import Point, Study


def values(s: Study) -> dict[str, Any]:
    return {
        "ranks": s.point.ranks,
        "split": s.point.split._asdict(),
        "step": {"seconds": s.point.seconds, "without_overlap": s.exposed, "efficiency": s.point.efficiency},
        "busy": busy(s),
        "tasks": len(s.played.tasks),
        "weak": [_values(p) for p in s.weak],
        "strong": [_values(p) for p in s.strong],
        "failures": s.failures._asdict() | {"every": s.every, "goodput": s.goodput, "on_paper": s.on_paper},
    }


def _values(p: Point) -> dict[str, Any]:
    return p._asdict() | {"split": p.split._asdict()}


def busy(s: Study) -> dict[str, float]:
    """Seconds that the first stage of the first replica spends on each kind of work, and waits."""
    seconds: dict[str, float] = defaultdict(float)
    for task in s.played.tasks:
        if ("compute", 0, 0) in task.streams:
            seconds[task.kind] += task.seconds
    return seconds | {"waiting": s.point.seconds - sum(seconds.values())}


def text(s: Study) -> str:
    split, c = s.point.split, s.machine.cluster
    parts = ", ".join(f"{kind} {in_time(seconds)}" for kind, seconds in busy(s).items())
    group = s.job.group
    where = f"{group.nodes} x {group.each}" if group.nodes > 1 and group.each > 1 else f"{group.size}"
    lines = [
        "",
        f"simulated: a step on {s.point.ranks:,} ranks, data {split.data} x tensor {split.tensor} x pipeline "
        f"{split.pipeline}, {split.micro_batches} micro-batches of {split.micro_rows} rows, ZeRO stage {split.zero}",
        f"  takes                   {in_time(s.point.seconds)} ({in_time(s.exposed)} if nothing is sent meanwhile)",
        f"  the first rank          {parts}",
        f"  sums over {where + ' ranks':<14}{c.collective} collectives, buckets of {in_bytes(c.bucket)}; "
        f"{s.machine.gpu.link / 1e9:.4g} GB/s in a node, {s.machine.gpu.network / 1e9:.4g} between",
        "  efficiency              useful arithmetic at a rank's own speed, over what a step takes",
        f"    {'ranks':<22}{''.join(f'{p.ranks:>6}' for p in s.weak)}",
        f"    {'as many rows a rank':<22}{_row(s.weak, s.weak)}",
        f"    {'as many rows in all':<22}{_row(s.strong, s.weak)}",
        f"  failures                one in {in_time(s.failures.between)}; checkpoints of {in_time(c.checkpoint)} every "
        f"{in_time(s.every)}: goodput {s.goodput:.3f} ({s.on_paper:.3f} on paper)",
        "Simulated, not measured: latencies, checkpoints and failures are assumed, ZeRO-2 and 3 are not simulated. Set "
        "what you measured with --set cluster.KEY=VALUE.",
    ]
    return "\n".join(lines)


def _row(points: list[Point], columns: list[Point]) -> str:
    found = {p.ranks: p.efficiency for p in points}
    return "".join(f"{found[p.ranks]:>6.2f}" if p.ranks in found else f"{'-':>6}" for p in columns)
