"""Which layers look back over a window only: theirs is a list of all layers, ours a pattern that repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigpt.core.limits import LAYERS
from minigpt.interop.keys import Keys
from minigpt.models.decoder_only import window_of


def windowed(config: Any) -> list[bool]:
    """For every layer, whether it has a window."""
    return [window_of(config, layer) > 0 for layer in range(config.layers)]


def pattern(layers: Sequence[bool]) -> str:
    """The shortest `window_layers` that says the same of so many layers."""
    text = "".join("fw"[has] for has in layers)
    return next(text[:n] for n in range(1, len(text) + 1) if text[n:] == text[:-n])


def named(keys: Keys, name: str, kinds: Any, choices: tuple[str, str], layers: int) -> str:
    """The pattern of what a key should be, the kinds of all layers, of which the second has the window.

    Raises:
        UserError: it is no such list.
    """
    if not isinstance(kinds, list) or len(kinds) != layers or not all(kind in choices for kind in kinds):
        raise keys.refusal(name, f"it must name {layers} layers, each {' or '.join(choices)}")
    return pattern([kind == choices[1] for kind in kinds])


def expanded(keys: Keys, name: str, default: Any) -> list[Any]:
    """The list that a key's [[[kind, …], how often], …] stands for, not much longer than layers there can be.

    Raises:
        UserError: it has another form.
    """
    kinds: list[Any] = []
    written = keys.get(name, default)
    for item in written if isinstance(written, list) else [written]:
        match item:
            case [list(some), int(times)] if 0 < times <= LAYERS and len(some) <= LAYERS and len(kinds) <= LAYERS:
                kinds += some * min(times, LAYERS // max(1, len(some)) + 1)
            case _:
                raise keys.refusal(name, 'it must be a list such as [[["global", "local"], 12]]')
    return kinds
