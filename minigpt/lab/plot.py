"""The figures that notebooks and commands share."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from minigpt.core.errors import UserError
from minigpt.core.files import write_atomically
from minigpt.data.ngram import ORDER
from minigpt.train.integrity import LOG
from minigpt.train.log import parsed

_TRAIN, _VALIDATION, _QUIET = "#2a6f97", "#c43c4f", "#64708a"  # as text they have a contrast of 4.5 with white

# Okabe & Ito 2008: apart for colour-blind readers too. Their yellow is left out, which white paper swallows; orange and
# sky blue are darker than theirs, so that every line has a contrast of 3 with white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#B98000", "#CC79A7", "#3A97D4", "#000000")


def use_notebook_style() -> None:
    """Make pyplot's figures legible in a light and in a dark notebook: opaque paper, strong lines, telling colours.

    From then on lines differ in colour and, after seven, in dashes; images go from blue to yellow (cividis), which is
    also from dark to light.
    """
    lines = matplotlib.cycler(linestyle=["-", "--", ":"]) * matplotlib.cycler(color=COLORS)
    matplotlib.rcParams.update(
        {
            "figure.figsize": (7.0, 3.6),
            "figure.dpi": 110,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "axes.facecolor": "white",
            "axes.prop_cycle": lines,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.alpha": 0.25,
            "lines.linewidth": 1.8,
            "legend.frameon": False,
            "image.cmap": "cividis",
        }
    )


def ink(image: AxesImage, number: float) -> str:
    """Black or white, whichever can be read on the colour that an image has for a number (black on a hole)."""
    red, green, blue, _ = image.cmap(image.norm(number))
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in (red, green, blue)]
    dark = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] < 0.179  # 1.05/(L + 0.05) > (L + 0.05)/0.05
    return "white" if dark and math.isfinite(number) else "black"


def draw_attention(axes: Any, probabilities: np.ndarray, queries: Sequence[str], keys: Sequence[str]) -> None:
    """Draw where each query looks: a row of squares, the brighter the more of its attention goes to that key.

    Args:
        axes: matplotlib's.
        probabilities: (T, S), of one head.
        queries, keys: T and S tokens, as text.
    """
    axes.imshow(probabilities, vmin=0.0, vmax=1.0)
    axes.set_xticks(range(len(keys)), [shown(token) for token in keys], rotation=90, family="monospace", fontsize=8)
    axes.set_yticks(range(len(queries)), [shown(token) for token in queries], family="monospace", fontsize=8)
    axes.set_xlabel("key: what is looked at")
    axes.set_ylabel("query: who looks")
    axes.grid(False)


def draw_tokens(axes: Any, rows: Sequence[tuple[str, Sequence[str], Sequence[int]]]) -> None:
    """Draw rows of tokens as strips of boxes, each as wide as its token is long.

    Args:
        axes: matplotlib's; about 130 characters fit into a width of 11 inches.
        rows: (what the row is, its tokens as text, a number for each token): 0 is left white, k has the k-th colour.
    """
    longest = 0
    for number, (_, tokens, kinds) in enumerate(rows):
        x = 0
        for token, kind in zip(map(shown, tokens), kinds, strict=True):
            width = len(token.replace("\\$", "$")) + 1
            face = to_rgba(COLORS[kind - 1], 0.35) if kind else "white"
            axes.add_patch(Rectangle((x, -number - 0.35), width, 0.7, facecolor=face, edgecolor=_QUIET, linewidth=0.6))
            axes.text(x + width / 2, -number, token, ha="center", va="center", family="monospace", fontsize=8)
            x += width
        longest = max(longest, x)
    axes.set(xlim=(-0.5, longest + 0.5), ylim=(-len(rows) + 0.4, 0.6))
    axes.set_yticks([-number for number in range(len(rows))], [label for label, _, _ in rows])
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.grid(False)


def shown(token: str) -> str:
    """A token as it can be read in a picture: white space made visible, nothing taken for a formula."""
    return token.replace(" ", "␣").replace("\n", "↵").replace("$", r"\$")


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Centred running mean; at the ends over what there is."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    at = np.arange(len(values))
    low, high = np.maximum(at - window // 2, 0), np.minimum(at + window // 2 + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def _telling_range(*logs: Sequence[Mapping[str, Any]], beside: float | None = None) -> tuple[float, float]:
    """From where to where losses are drawn: what the first twentieth of the steps fell from may lie above the picture.

    An untrained model's loss says little, and would leave no room for what comes after it.

    Args:
        beside: a loss that is drawn too.
    """
    shown = [] if beside is None else [beside]
    for lines in logs:
        last = max(line["step"] for line in lines)
        some = [line for line in lines if line["step"] > last / 20] or list(lines)
        shown += [
            line[name] for line in some for name in ("loss", "val_loss") if math.isfinite(line.get(name, math.nan))
        ]
    low, high = min(shown, default=0.0), max(shown, default=1.0)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


_FEW = 20_000  # lines with a training loss that a picture needs


def thinned_log(run: Path) -> list[dict[str, Any]]:
    """The log's lines for a picture: all that were evaluated, and of the training steps so many at equal distances."""
    path = run / LOG
    if not path.exists():
        return []
    with open(path, "rb") as file:
        each = sum(1 for _ in file) // _FEW + 1
        file.seek(0)
        return list(parsed(line for n, line in enumerate(file) if n % each == 0 or b'"val_loss"' in line))


def training_figure(run: Path, baseline: float | None = None) -> Figure:
    """Draw a run's losses, learning rate and gradient norm against the steps.

    Where the run has logged what its loss lies between (the story world's floor, and n-grams), it is drawn too.

    Args:
        baseline: a validation loss to compare with, such as `minigpt eval --baseline` measures.
    Raises:
        UserError: the run has logged nothing yet.
    """
    lines = thinned_log(run)
    steps = [line for line in lines if "loss" in line]
    validation = [line for line in lines if "val_loss" in line]
    if not steps:
        raise UserError(f"{run} has no logged training steps to plot yet")
    x = np.array([line["step"] for line in steps])
    losses = np.array([line["loss"] for line in steps])
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))

    top.plot(x, losses, color=_TRAIN, alpha=0.25, linewidth=0.8)
    window = max(1, len(losses) // 50)
    top.plot(x, smooth(losses, window), color=_TRAIN, label=f"training (mean over {window} points)")
    if validation:
        vx, vy = [line["step"] for line in validation], [line["val_loss"] for line in validation]
        top.plot(vx, vy, "o-", color=_VALIDATION, markersize=4, label="validation")
        top.annotate(
            f"{vy[-1]:.3f}", (vx[-1], vy[-1]), xytext=(-4, 9), textcoords="offset points", ha="right", color=_VALIDATION
        )
    if baseline is not None:
        top.axhline(baseline, color=_QUIET, linestyle="--", label=f"baseline ({baseline:.3f})")
    for name, label, style in (("ngram", f"{ORDER}-grams", ":"), ("floor", "floor", "-")):
        if validation and name in validation[-1]:
            mark = validation[-1][name]
            top.axhline(mark, color=_QUIET, linestyle=style, linewidth=1, label=f"{label} ({mark:.3f})")
    if validation and "floor" in validation[-1] and losses.min() < validation[-1]["ngram"]:
        floor, gap = validation[-1]["floor"], validation[-1]["ngram"] - validation[-1]["floor"]
        top.set_ylim(floor - 0.2 * gap, floor + 3 * gap)  # what is above says little
    else:
        top.set_ylim(*_telling_range(lines, beside=baseline))
    top.set_ylabel("loss (nats per token)")
    top.set_title(run.resolve().name)
    top.legend(frameon=False)
    _draw_rate_and_norm(bottom, steps)
    for axes in (top, bottom):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_rate_and_norm(axes: Any, steps: Sequence[dict[str, Any]]) -> None:
    """The learning rate and, on an axis of its own, the gradient's norm."""
    x = [line["step"] for line in steps]
    axes.plot(x, [line.get("lr", math.nan) for line in steps], color=_QUIET)
    axes.set_ylabel("learning rate", color=_QUIET)
    axes.set_xlabel("step")
    norms = axes.twinx()
    sizes = [line.get("grad_norm", math.nan) for line in steps]
    norms.plot(x, sizes, color=_TRAIN, linewidth=0.8)
    norms.set_ylabel("gradient norm", color=_TRAIN)
    if any(size > 0 for size in sizes):  # a text of one letter leaves nothing to learn
        norms.set_yscale("log")


_RUNS = COLORS[:6]


def comparison_figure(runs: Sequence[Path], baseline: float | None = None) -> Figure:
    """Draw the losses of several runs against the steps: training faint, validation in full.

    Args:
        baseline: see `training_figure`.
    Raises:
        UserError: there are more runs than colours, or one has logged no validation yet.
    """
    if len(runs) > len(_RUNS):
        raise UserError(f"{len(runs)} runs are too many for one picture; at most {len(_RUNS)} can be told apart")
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for run, color, marker in zip(runs, _RUNS, "os^Dv*", strict=False):
        lines = thinned_log(run)
        points = [(line["step"], line["val_loss"]) for line in lines if "val_loss" in line]
        if not points:
            raise UserError(f"{run} has logged no validation loss to compare yet")
        losses = np.array([line["loss"] for line in lines if "loss" in line])
        steps = [line["step"] for line in lines if "loss" in line]
        axes.plot(steps, smooth(losses, max(1, len(losses) // 50)), color=color, alpha=0.35, linewidth=0.8)
        x, y = zip(*points, strict=True)
        axes.plot(x, y, marker=marker, markersize=4, color=color, label=f"{run.resolve().name}, {y[-1]:.3f} at the end")
    if baseline is not None:
        axes.axhline(baseline, color=_QUIET, linestyle="--", label=f"baseline, {baseline:.3f}")
    axes.set_ylim(*_telling_range(*map(thinned_log, runs), beside=baseline))
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def skill_figure(curves: Sequence[Any]) -> Figure:
    """Draw the skill of a run's checkpoints without training on any of the tasks, as GPT's figure 2 does.

    Args:
        curves: of `minigpt.lab.skill`. Skill is (score − chance)/(best − chance). Steps are on a logarithmic axis,
            on which the untrained model stands half a step from the left.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for number, curve in enumerate(curves):
        style = {"color": COLORS[number % len(COLORS)], "linestyle": ("-", "--", ":")[number // len(COLORS) % 3]}
        x = [max(step, 0.5) for step in curve.steps]
        last = curve.findings[-1]
        label = f"{curve.task}: {last.scores[0].metric} {last.value:.3g} (chance {last.chance:.3g})"
        axes.plot(x, [f.skill for f in curve.findings], marker="os^Dv*"[number % 6], markersize=4, **style, label=label)
    axes.axhline(0.0, color=_QUIET, linewidth=0.8)
    axes.set_xscale("log")
    if any(step == 0 for curve in curves for step in curve.steps):
        axes.axvline(0.5, color=_QUIET, linewidth=0.8, linestyle=":")
        axes.text(0.52, 1.0, "untrained", color=_QUIET, fontsize=8, transform=axes.get_xaxis_transform(), va="top")
    axes.set_xlabel("steps of pretraining")
    axes.set_ylabel("skill: (score − chance) / (best − chance)")
    axes.legend(frameon=False, fontsize=9)
    _clean(axes)
    return figure


def shots_figure(task: str, metric: str, runs: Mapping[str, Sequence[Any]]) -> Figure:
    """Draw what several runs score against the number of examples in their context, with 95% intervals.

    Args:
        runs: name -> `Shots` of `minigpt.evaluate.fewshot`, in the order of their numbers.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for number, (name, found) in enumerate(runs.items()):
        color = COLORS[number % len(COLORS)]
        x, scores = [shots.shots for shots in found], [shots.score for shots in found]
        axes.fill_between(x, [s.low for s in scores], [s.high for s in scores], color=color, alpha=0.15, linewidth=0)
        axes.plot(x, [s.value for s in scores], marker="os^Dv*"[number % 6], markersize=4, color=color, label=name)
    first = next(iter(runs.values()))[0].score
    axes.axhline(first.baseline, color=_QUIET, linestyle="--", label=f"{first.baseline_name}, {first.baseline:.3f}")
    axes.set_xlabel("examples in the context")
    axes.set_ylabel(f"{task}: {metric}")
    axes.set_xticks(sorted({shots.shots for found in runs.values() for shots in found}))
    axes.legend(frameon=False)
    _clean(axes)
    return figure


def transfer_figure(rows: Sequence[Any]) -> Figure:
    """Bars of what a pretrained model scores on tasks, beside the same model from scratch and no skill at all.

    Args:
        rows: `minigpt.lab.benchmark.transfer.Comparison`, one for each task and number of labels.
    """
    figure = Figure(figsize=(1.5 + 1.1 * len(rows), 3.4), layout="constrained")
    axes, at = figure.subplots(), np.arange(len(rows))
    for offset, arm, label, color in (
        (-0.2, "scratch", "from scratch", COLORS[1]),
        (0.2, "pretrained", "pretrained", COLORS[0]),
    ):
        scales = [1 if row.metric == "bleu" else 100 for row in rows]
        values = [np.array(getattr(row, arm)) * scale for row, scale in zip(rows, scales, strict=True)]
        means, spread = [x.mean() for x in values], [x.std(ddof=1) if len(x) > 1 else 0.0 for x in values]
        axes.bar(at + offset, means, 0.38, yerr=spread if any(spread) else None, label=label, color=color)
    baselines = [row.baseline * (1 if row.metric == "bleu" else 100) for row in rows]
    axes.hlines(baselines, at - 0.42, at + 0.42, colors=_QUIET, linestyles="--", label="no skill")
    axes.set_xticks(at, [f"{row.task}\n{row.examples} labels\n{row.metric}" for row in rows], fontsize=8)
    axes.set_ylabel("score on test")
    axes.legend(fontsize=8)
    _clean(axes)
    return figure


def _clean(axes: Any) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Any, path: Path) -> Path:
    """Write a figure as PNG.

    Raises:
        UserError: the file cannot be written.
    """
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    return write_atomically(path, picture.getvalue())
