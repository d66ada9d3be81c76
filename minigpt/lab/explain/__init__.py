"""A page that walks through a model's forward and backward pass on a text, number by number and line by line.

batches      a prompt as one row that a model learns from
watching     a table of operations that knows where each call belongs; source and tracing: which line made what
recording    both passes with every array; arrays: what is kept of them; stations: the steps; words: what is said
views        logit lens, reach of the loss, masks, rotation; nudges: is the gradient true; replay: a run's checkpoints
building     all of it as one object; bundling: the page around it, from page/; still: a picture without scripts
kernel_walk  the flash attention kernel phase by phase, from the emulator's trace; kernel_page: a page of its own
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from minigpt.core.files import write_atomically
from minigpt.interop.loaded import Loaded
from minigpt.lab.explain.building import build
from minigpt.lab.explain.bundling import bundle
from minigpt.lab.explain.still import as_image, still

__all__ = ["Page", "explain"]

_HEIGHT = 860  # pixels of the frame in a notebook


class Page:
    """A page: `.html` is the file's text, `.save` writes it; a notebook shows it in the output of a cell."""

    def __init__(self, data: dict[str, Any]):
        self.data = data

    @cached_property
    def picture(self) -> bytes:
        """A still picture, PNG."""
        return still(self.data)

    @cached_property
    def html(self) -> str:
        model = self.data["model"]
        title = f"{model['name'] or model['family']}: {self.data['prompt']}"
        return bundle(self.data, as_image(self.picture), title=title, heading="A language model, forward and backward")

    def save(self, path: str | Path) -> Path:
        """Write the page, one file that needs no other.

        Raises:
            UserError: it cannot be written.
        """
        return write_atomically(path, self.html)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """For Jupyter: the page in a frame, and for where that is not shown the still picture."""
        frame = (
            f'<iframe title="The model, step by step" srcdoc="{html.escape(self.html)}" '
            f'style="width:100%;height:{_HEIGHT}px;border:1px solid #ccc" sandbox="allow-scripts"></iframe>'
        )
        return {"text/html": frame, "image/png": self.picture, "text/plain": f"Page({self.data['prompt']!r})"}


def explain(
    loaded: Loaded,
    prompt: str,
    *,
    target: str | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    name: str = "",
    replay: Path | None = None,
) -> Page:
    """The forward and the backward pass of a model on a text, as a page.

    Args:
        loaded: of `minigpt.load`.
        prompt: the text; BERT's may have [MASK], or else some of its tokens are hidden.
        target: what an encoder–decoder should write, or what stands at [MASK]; by default what the model would say.
        layers: of which everything is shown, counted from 1; by default as many as a page has room for.
        heads: of which attention is shown, counted from 1; by default all.
        name: what the page calls the model.
        replay: a run, of which all checkpoints are shown too.
    Raises:
        UserError: the model does not predict tokens, the prompt is too long, or the run has one checkpoint only.
    """
    return Page(build(loaded, prompt, target=target, layers=layers, heads=heads, name=name, run=replay))
