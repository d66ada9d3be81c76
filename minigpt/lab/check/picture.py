"""A picture of where gradients are wrong: the true one, the learner's, and their difference, as matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from minigpt.lab.check.judging import Gradient, Verdict
from minigpt.lab.check.report import Report

_MOST_ROWS = 6


def draw_report(report: Report, path: Path) -> bool:
    """Draw every wrong gradient of a file, a row each, into a PNG; False if there is none."""
    rows = [(v, g) for v in report.pairs for g in v.wrong if g.problem == "values"][:_MOST_ROWS]
    if not rows:
        return False
    figure = Figure(figsize=(10, 2.6 * len(rows)))
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for row, (verdict, gradient) in zip(axes, rows, strict=True):
        _draw_row(figure, row, verdict, gradient)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    return True


def _draw_row(figure: Any, row: Any, verdict: Verdict, gradient: Gradient) -> None:
    case = gradient.wrong[0]
    g, truth = (
        as_matrix(x) for x in (verdict.measured[case].gradients[gradient.role], verdict.truths[case][gradient.role])
    )
    largest = max(float(np.nanmax(np.abs(truth), initial=0.0)), 1e-12)
    name = f"{verdict.pair.name}: {gradient.name}"
    for ax, matrix, title in zip(row, (truth, g, g - truth), ("true", "yours", "difference"), strict=True):
        image = ax.imshow(matrix, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest")
        ax.set_title(f"{name}, {title}", fontsize=9)
        ax.set_xlabel(_axis_name(verdict, gradient.role, last=True), fontsize=8)
        ax.set_ylabel(_axis_name(verdict, gradient.role, last=False), fontsize=8)
        ax.tick_params(labelsize=8)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        figure.colorbar(image, ax=ax, shrink=0.8)


def as_matrix(x: np.ndarray) -> np.ndarray:
    """(…, C) as (N, C); a vector is one row."""
    x = np.atleast_1d(np.asarray(x, dtype=np.float64))
    return x.reshape(-1, x.shape[-1])


def _axis_name(verdict: Verdict, role: str, *, last: bool) -> str:
    names = verdict.operation.axes.get(role, ())
    return (names[-1] if names else "") if last else " × ".join(names[:-1])
