"""A family in one picture: excess loss against N, D and C, and accuracy against the number of shots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from minigpt.core.files import write_atomically
from minigpt.core.progress import progress_bar
from minigpt.lab.plot import save_figure
from minigpt.lab.scaling import results
from minigpt.lab.scaling.family import Family, story_kind
from minigpt.lab.scaling.results import Results

_HELD, _LAW = "#c43c4f", "#2e4057"


def concluded(folder: Path, family: Family, shots: Sequence[int] | None, questions: int) -> tuple[dict[str, Any], str]:
    """Measure a family that is trained, and keep numbers and picture in its folder; the values, and text.

    Args:
        shots, questions: see `results.measure`; None takes the usual numbers of examples where there are any.
    """
    if shots is None:
        shots = () if story_kind(family.data) is None else results.SHOTS
    with progress_bar(unit="question", leave=False) as bar:
        found = results.measure(folder, family, shots=shots, questions=questions, on_shots=lambda m, k: bar.update())
    values = results.values(found)
    write_atomically(folder / "results.json", json.dumps(values, indent=1) + "\n")
    figure = save_figure(scaling_figure(found), folder / "scaling.png")
    text = f"{results.text(found)}\n{folder / 'results.json'}, {figure}"
    return {"family": str(folder), "figure": str(figure)} | values, text


def scaling_figure(r: Results) -> Figure:
    """Four panels. Losses are shown above the floor, in logarithms, where a power law is a straight line."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    by_n, by_d, by_c, by_k = figure.subplots(2, 2).ravel()
    floor = r.fits["joint"].law.floor
    sizes = np.unique(r.points.parameters)
    colors = dict(zip(sizes, _shades(len(sizes)), strict=True))
    _against_parameters(by_n, r, floor, colors)
    _against_tokens(by_d, r, floor, colors)
    _against_compute(by_c, r, floor, colors)
    _against_shots(by_k, r, colors)
    name = "loss − floor" if r.floor is not None else "loss − fitted floor"
    for panel in (by_n, by_d, by_c):
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_ylabel(f"{name} (nats per token)")
        for axis in (panel.yaxis, panel.xaxis):
            axis.set_minor_formatter(NullFormatter())
        panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    by_d.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    by_d.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:,.0f}"))
    for panel in (by_n, by_d, by_c, by_k):
        panel.grid(alpha=0.25, which="both")
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _shades(count: int) -> list[tuple[float, float, float]]:
    """From light to dark blue; the lightness tells sizes apart without colour vision too."""
    light, dark = np.array([0.68, 0.83, 0.93]), np.array([0.05, 0.18, 0.35])
    return [tuple(light + (dark - light) * i / max(count - 1, 1)) for i in range(count)]


def _against_parameters(panel, r: Results, floor: float, colors: dict) -> None:
    p = r.points
    last = p.tokens == p.tokens.max()
    held = r.predictions.get("joint")
    x = np.geomspace(p.parameters.min() / 1.3, p.parameters.max() * 1.3, 100)
    law = r.fits["parameters"].law
    low, high = r.fits["parameters"].intervals["exponent"]
    label = f"α = {law.exponent:.2f} [{low:.2f}, {high:.2f}]"
    panel.plot(x, law(x) - law.floor, color=_LAW, linewidth=1, label=label)
    panel.scatter(p.parameters[last], p.losses[last] - floor, c=[colors[n] for n in p.parameters[last]], zorder=3, s=36)
    if held:
        n, excess = p.parameters.max(), held.predicted - floor
        error = [[held.predicted - held.interval.low], [held.interval.high - held.predicted]]
        text = f"predicted without it ({100 * held.error:+.0f}%)"
        panel.errorbar([n], [excess], error, fmt="x", color=_HELD, capsize=3, markersize=8, label=text)
    panel.set_xlabel("N, parameters without embeddings")
    panel.legend(frameon=False)


def _against_tokens(panel, r: Results, floor: float, colors: dict) -> None:
    p, joint = r.points, r.fits["joint"]
    x = np.geomspace(p.tokens.min() / 1.1, p.tokens.max() * 1.1, 50)
    for run in np.unique(p.run):
        one = p.where(p.run == run)
        n = one.parameters[0]
        panel.plot(one.tokens, one.losses - floor, "o", color=colors[n], markersize=4)
        panel.plot(x, joint.law(n, x) - floor, color=colors[n], linewidth=1)
    (a_low, a_high), (b_low, b_high) = joint.intervals["alpha"], joint.intervals["beta"]
    panel.set_title(
        f"A/N^α + B/D^β: α = {joint.law.alpha:.2f} [{a_low:.2f}, {a_high:.2f}], "
        f"β = {joint.law.beta:.2f} [{b_low:.2f}, {b_high:.2f}]",
        fontsize=10,
    )
    panel.set_xlabel("D, training tokens")


def _against_compute(panel, r: Results, floor: float, colors: dict) -> None:
    p = r.points
    for run in np.unique(p.run):
        one = p.where(p.run == run)
        label = f"N = {int(one.parameters[0]):,}" if r.names[int(run)].endswith("seed-0") else None
        panel.plot(one.compute, one.losses - floor, "o-", color=colors[one.parameters[0]], markersize=3, label=label)
    if "compute" in r.fits:
        law = r.fits["compute"].law
        low, high = r.fits["compute"].intervals["exponent"]
        x = np.geomspace(p.compute.min(), p.compute.max(), 50)
        label = f"frontier: α = {law.exponent:.2f} [{low:.2f}, {high:.2f}]"
        panel.plot(x, law(x) - law.floor, "--", color=_HELD, linewidth=1.2, label=label)
    panel.set_xlabel("C = 6 N D, floating-point operations")
    panel.legend(frameon=False, fontsize=8)


def _against_shots(panel, r: Results, colors: dict) -> None:
    for name, some in r.shots.items():
        n = r.points.parameters[r.points.run == r.names.index(name)][0]
        k, value, low, high = np.array(some).T
        panel.plot(k, value, "o-", color=colors[n], markersize=4, label=f"N = {int(n):,}")
        if n == max(colors):  # the others' intervals are as wide
            panel.fill_between(k, low, high, color=colors[n], alpha=0.12, linewidth=0)
    if r.chance is not None:
        panel.axhline(r.chance, color="#64708a", linestyle="--", label=f"guessing, {r.chance:.2f}")
    panel.set_xlabel("K, examples in the context")
    panel.set_ylabel("accuracy of labels")
    if r.shots:
        panel.set_ylim(top=1.0)
        panel.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)
