"""A still picture of the same text, for readers for whom no script runs: where each head looks, and what was hard."""

from __future__ import annotations

import base64
import io
import warnings
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigpt.lab.explain.arrays import unpacked
from minigpt.lab.plot import draw_attention, shown

_LAYERS, _HEADS, _NAMED = 4, 4, 24


def _array(data: dict[str, Any], number: int) -> np.ndarray:
    return unpacked(data["arrays"][number], data["holes"])


def still(data: dict[str, Any]) -> bytes:
    """The picture as PNG: attention of up to 4 layers and heads, and the probability of each right token."""
    attentions = data["heads"][-_LAYERS:]
    heads = data["headsShown"][:_HEADS]
    figure = Figure(figsize=(3.1 * len(heads), 3.1 * len(attentions) + 2.2), layout="constrained", facecolor="white")
    grid = figure.add_gridspec(len(attentions) + 1, len(heads))
    for n, item in enumerate(attentions):
        probabilities = _array(data, item["array"])
        for at, head in enumerate(heads):
            axes = figure.add_subplot(grid[n, at])
            rows, keys = data["lists"][item["rows"]], data["lists"][item["keys"]]
            draw_attention(axes, np.sqrt(probabilities[at]), rows, keys)
            axes.set_title(f"{item['place'].removesuffix('.attention')}, head {head + 1}", fontsize=8)
            axes.set(xlabel="", ylabel="")
            if len(keys) > _NAMED:
                axes.set(xticks=[], yticks=[])
    _costs(figure.add_subplot(grid[len(attentions), :]), data)
    return as_png(figure)


def as_png(figure: Figure) -> bytes:
    """A figure as the bytes of a file."""
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a script that the font does not have is drawn as boxes
        figure.savefig(picture, dpi=110, format="png")
    return picture.getvalue()


def _costs(axes: Any, data: dict[str, Any]) -> None:
    """How probable the right token was at each place."""
    last, names = data["lens"]["layers"][-1], data["lens"]["targets"]
    known = [(name, cell["p"]) for name, cell in zip(names, last, strict=True) if name]
    axes.bar(range(len(known)), [p for _, p in known], color="#0072B2")
    axes.set_xticks(range(len(known)), [shown(name) for name, _ in known], rotation=90, family="monospace", fontsize=8)
    axes.set(ylim=(0, 1), title=f"probability of the token that came; loss {data['loss']:.3f}")


def as_image(png: bytes, says: str = "Where each head looks") -> str:
    """The picture as an element of HTML; `says` is for readers who do not see it."""
    return f'<img alt="{says}" src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">'
