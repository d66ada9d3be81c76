"""How a training step's time and memory grow with the context, the width, the layers and the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, ScalarFormatter

from minigpt.blocks.dispatch import settled
from minigpt.core.backend import get_backend
from minigpt.lab.benchmark.contest import Contestant, contest
from minigpt.lab.benchmark.shapes import Shape
from minigpt.lab.benchmark.step import training_step

BASE = Shape(4, 4, 256, 256, 4, 512)
AXES = {  # what is varied, and its values; everything else is as in BASE
    "context": (64, 128, 256, 512, 1024, 2048),
    "width": (64, 128, 256, 512),
    "layers": (1, 2, 4, 8),
    "batch": (1, 2, 4, 8, 16),
}
LOOKS = {"fast": ("NumPy's", "#2a6f97", "o-"), "compiled": ("compiled loops", "#d1495b", "s--")}  # of operations
LETTERS = {"context": "T", "width": "C", "layers": "L", "batch": "B"}


def shape_of(axis: str, value: int) -> Shape:
    """BASE with one number changed; heads keep their width of 64."""
    shape = BASE._replace(**{axis: value})
    return shape._replace(heads=max(1, shape.width // 64))


def described(shape: Shape) -> str:
    """A shape in the letters that every file here uses."""
    s = shape
    return f"L {s.layers}, C {s.width}, T {s.context}, B {s.batch}, V {s.vocab_size}, heads of 64"


def bench_scaling(
    *, rounds: int, workers: int, clock: str = "wall", progress: Callable[[], object] = lambda: None
) -> list[dict[str, Any]]:
    """Time every shape with NumPy's operations and, where Numba is installed, with compiled ones, in turn.

    Returns:
        one record a shape and operations ("fast" or "compiled"): the axis, its value, µs per token and the process's
        peak MB.
    """
    records = []
    for axis, values in AXES.items():
        for value in values:
            shape = shape_of(axis, value)
            rungs = {"fast": Contestant(training_step, (shape, workers, "numpy", "numpy"))}
            if settled("auto", get_backend("numpy")) == "compiled":
                rungs["compiled"] = Contestant(training_step, (shape, workers, "numpy"))
            outcome = contest(rungs, rounds=rounds, clock=clock)
            for name in rungs:
                median, *ends = (1e6 * seconds / shape.tokens for seconds in outcome.seconds(name))
                peak = outcome.peak_megabytes[name]
                record = {"axis": axis, "value": value, "operations": name, "us_per_token": median}
                records.append(record | {"interval": ends, "peak_mb": peak})
            progress()
    return records


def scaling_figure(records: list[dict[str, Any]]) -> Figure:
    """Time per token (top) and memory (bottom) against each axis."""
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    panels = figure.subplots(2, len(AXES), sharey="row", squeeze=False)
    for column, axis in enumerate(AXES):
        top, bottom = panels[0][column], panels[1][column]
        for name, (label, color, line) in LOOKS.items():
            rows = [r for r in records if (r["axis"], r["operations"]) == (axis, name)]
            if not rows:
                continue  # no Numba here
            x = [r["value"] for r in rows]
            error = [[r["us_per_token"] - r["interval"][0], r["interval"][1] - r["us_per_token"]] for r in rows]
            times = [r["us_per_token"] for r in rows]
            top.errorbar(x, times, [*zip(*error, strict=True)], fmt=line, color=color, label=label)
            bottom.plot(x, [r["peak_mb"] for r in rows], line, color=color, label=label)
        bottom.set_xlabel(f"{LETTERS[axis]}, {axis}")
        for panel in (top, bottom):
            panel.set_xscale("log", base=2)
            panel.set_yscale("log")
            panel.set_xticks(AXES[axis], [str(value) for value in AXES[axis]])
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(ScalarFormatter())
            panel.minorticks_off()
            panel.grid(alpha=0.25)
            panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].legend(title="operations")
    panels[0][0].set_ylabel("time (µs per token)")
    panels[1][0].set_ylabel("peak memory (MB)")
    figure.suptitle(f"One training step; otherwise {described(BASE)}")
    return figure
