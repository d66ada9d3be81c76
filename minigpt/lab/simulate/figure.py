"""A simulation as a picture: efficiency against ranks, and one step's timeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from minigpt.lab.plot import COLORS, save_figure
from minigpt.lab.simulate.events import Stream
from minigpt.lab.simulate.step import Played
from minigpt.lab.simulate.study import Study

_COLORS = dict(zip(("forward", "backward", "update", "reduce", "gather", "send"), COLORS, strict=False))
_LANES = 16  # rows of a timeline that can still be read


def simulation_figure(s: Study, name: str) -> Figure:
    """Above efficiency against ranks, below one step on the ranks asked for."""
    figure = Figure(figsize=(9, 7.5), layout="constrained")
    top, bottom = figure.subplots(2, 1)
    for points, label, style in (
        (s.weak, "as many rows on each rank", "o-"),
        (s.strong, "as many rows in all", "s--"),
    ):
        top.plot([p.ranks for p in points], [p.efficiency for p in points], style, markersize=4, label=label)
    top.axvline(s.point.ranks, color="#64708a", linewidth=0.8, linestyle=":")
    top.set_xscale("log", base=2)
    top.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    top.set(ylim=(0, 1.02), xlabel="ranks", ylabel="efficiency", title=f"{name}, {s.machine.gpu.name}: simulated")
    top.grid(alpha=0.25)
    top.legend(frameon=False)
    top.spines[["top", "right"]].set_visible(False)
    draw_timeline(bottom, s.played, f"one step on {s.point.ranks:,} ranks")
    return figure


def save(s: Study, name: str, path: Path) -> None:
    save_figure(simulation_figure(s, name), path)


def draw_timeline(axes: Any, played: Played, title: str = "", *, legend: bool = True) -> None:
    """Draw a step: a lane for each rank's arithmetic and for its stage's network, time to the right.

    Args:
        legend: whether to say what the colours and the unit are; of several drawings only the last needs to.
    """
    lanes = _lanes(played)
    scale = 1e3 if played.seconds < 10 else 1.0
    bars: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for task, span in zip(played.tasks, played.spans, strict=True):
        for stream in task.streams:
            if stream in lanes and task.seconds:
                bars.setdefault((lanes[stream], task.kind), []).append((span.begin * scale, task.seconds * scale))
    for (lane, kind), pieces in bars.items():
        wide = len(pieces) < 200
        axes.broken_barh(
            pieces, (-lane - 0.4, 0.8), facecolors=_COLORS[kind], edgecolor="white", linewidth=0.4 if wide else 0
        )
    stages = any(stream[-1] for stream in lanes)
    names = [_name(stream, stages) for stream in lanes]
    axes.set_yticks([-lane for lane in lanes.values()], names, fontsize=8)
    axes.set(xlim=(0, played.seconds * scale), ylim=(-len(lanes) + 0.4, 0.6), title=title)
    axes.spines[["top", "right"]].set_visible(False)
    if not legend:
        return
    axes.set_xlabel("milliseconds" if scale == 1e3 else "seconds")
    kinds = [kind for kind in _COLORS if any(kind == known for _, known in bars)]
    patches = [Patch(color=_COLORS[kind], label=kind) for kind in kinds]
    axes.legend(handles=patches, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _lanes(played: Played) -> dict[Stream, int]:
    """The lanes, from above: arithmetic and network, by stage and then by replica, as many as can be read."""
    streams = {stream for task in played.tasks for stream in task.streams if stream[0] != "send"}
    chosen = sorted(streams, key=lambda stream: (stream[-1], stream[0], stream))
    if len(chosen) > _LANES:  # of many replicas the first, of many stages each, but without their network
        chosen = [stream for stream in chosen if stream[0] == "compute" and stream[1] == 0] or chosen
        step = -(-len(chosen) // _LANES)
        chosen = chosen[::step]
    return {stream: lane for lane, stream in enumerate(chosen)}


def _name(stream: Stream, stages: bool) -> str:
    """A lane's name: ("network", stage) or ("compute", replica, stage)."""
    where = f"stage {int(stream[-1]) + 1}: " if stages else ""
    if stream[0] == "network":
        return f"{where}network"
    return f"{where}arithmetic" + (f", replica {int(stream[1]) + 1}" if stream[1] else "")
