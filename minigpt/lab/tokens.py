"""Where a tokenizer cuts a text: its tokens in colours, or with a line between them."""

from __future__ import annotations

import sys

from minigpt.core.terminal import for_stream
from minigpt.tokenizers import Tokenizer

COLOURS = (44, 42, 45, 46, 43)  # backgrounds: neighbours must differ, and black letters be legible on each


def boundaries(tokenizer: Tokenizer, text: str, ids: list[int], offsets: list[tuple[int, int]], colour: bool) -> str:
    """The text with its tokens told apart. A token without characters of its own shows its name instead."""
    parts: list[str] = []
    position = 0
    for n, (i, (start, end)) in enumerate(zip(ids, offsets, strict=True)):
        if start > position:  # characters that no token covers, such as white space in BERT
            between = for_stream(text[position:start], sys.stdout)
            parts.append(between if colour else between.replace("\n", "⏎\n"))
        shared = n + 1 < len(ids) and offsets[n + 1][0] < end  # a part of a character that goes on in the next token
        own = text[max(start, position) : end] if not shared else ""
        label = for_stream(own or f"‹{tokenizer.token(i)}›", sys.stdout).replace("\n", "⏎\n")
        parts.append(_painted(label, COLOURS[n % len(COLOURS)]) if colour else label + "|")
        position = max(position, end if own or not shared else position)
    return "".join(parts) + for_stream(text[position:], sys.stdout)


def _painted(label: str, colour: int) -> str:
    """Black letters on a coloured ground, which ends with the line so that it does not fill the terminal's width."""
    return "\n".join(f"\x1b[30;{colour}m{line}\x1b[0m" if line else "" for line in label.split("\n"))
