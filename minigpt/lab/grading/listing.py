"""The exercises with their points, as a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigpt.lab.exercises.texts import POINTS, TEXTS
from minigpt.lab.grading.grade import left_to_people


def values(names: Sequence[str]) -> list[dict[str, Any]]:
    hand = left_to_people(names)
    return [
        {"exercise": name, **TEXTS[name]._asdict(), "points": POINTS[name], "by_hand": name in hand} for name in names
    ]


def text(names: Sequence[str]) -> str:
    """A line for each, under the names of their notebooks."""
    hand, lines, above = left_to_people(names), [], ""
    for name in names:
        notebook, _, number = name.partition("/")
        if notebook != above:
            above = notebook
            lines.append(notebook)
        note = "  (read by a person)" if name in hand else ""
        function = f"  {TEXTS[name].function}" if TEXTS[name].function else ""
        lines.append(f"  {number}  {POINTS[name]} points  {TEXTS[name].title}{function}{note}")
    return "\n".join(line.replace("1 points", "1 point ") for line in lines)
