"""Which layers look back over a window only: theirs is a list of all layers, ours a pattern that repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigpt.models.decoder_only import window_of


def windowed(config: Any) -> list[bool]:
    """For every layer, whether it has a window."""
    return [window_of(config, layer) > 0 for layer in range(config.layers)]


def pattern(layers: Sequence[bool]) -> str:
    """The shortest `window_layers` that says the same of so many layers."""
    text = "".join("fw"[has] for has in layers)
    return next(text[:n] for n in range(1, len(text) + 1) if text[n:] == text[:-n])
