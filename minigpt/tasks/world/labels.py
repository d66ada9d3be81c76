"""The few-shot task of the story world: lines of inputs and labels whose meaning only the lines before can tell.

The story world's documents of the kind `list` sort words by what they are (animals, places, colours, …) under labels
that are drawn anew for every list ("dax", "wug", "fep"). A model that was trained on such lists has not learned
what a label means, because none means anything. What it can have learned is to learn: with no line before, it can only
guess; with K lines it can know.

There are two such tasks, of the same lists. In `labels` the options are the labels that the list uses: only what they
stand for can tell. In `labels8` they are all eight that lists draw them from, so that the lines before tell two things:
which labels there are, and what they stand for. (What examples in a context tell a model is to a large part the
former: Min et al. 2022.)
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from minigpt.core.errors import UserError
from minigpt.data import storyworld
from minigpt.data.storyworld import lists
from minigpt.tasks.registry import Task

LINES = 16  # of a list: the last is asked, the others can be shown
SIZES = {"train": 300, "dev": 300, "test": 300}
_SEED = 1_000_003  # documents that no corpus of the story world begins with


class Labelled(NamedTuple):
    """One line of a list, to be labelled, and the others.

    Attributes:
        lines: the other lines, each with its label, in their order.
        context: the line up to its label.
        options: the list's labels, or all of the set that they are from.
        label: which of them is right.
    """

    lines: tuple[str, ...]
    context: str
    options: tuple[str, ...]
    label: int


def read_labels(folder: Path | str, split: str, *, whole_set: bool = False) -> list[Labelled]:
    """Lists of a split of the story world, drawn here: no folder is read.

    The last line is asked, if its label stands in a line before; else any K lines could not tell it.

    Args:
        whole_set: all labels are options.
    Raises:
        UserError: there is no such split.
    """
    if split not in SIZES:
        raise UserError(f"there is no split {split!r}; the splits of the lists are {', '.join(SIZES)}")
    examples = _labels(split)
    return [_among_all(example) for example in examples] if whole_set else list(examples)


def _among_all(e: Labelled) -> Labelled:
    return e._replace(options=lists.LABELS, label=lists.LABELS.index(e.options[e.label]))


@cache
def _labels(split: str) -> tuple[Labelled, ...]:
    found: list[Labelled] = []
    documents = storyworld.stream(_SEED, split, "list")
    while len(found) < SIZES[split]:
        facts = next(documents).facts
        if len(facts.examples) == LINES and facts.classes[-1] in facts.classes[:-1]:
            found.append(_example(facts))
    return tuple(found)


def _example(facts: storyworld.facts.LabelledList) -> Labelled:
    *others, (asked, right) = facts.examples
    options = tuple(label for _, label in facts.labels)
    lines = tuple(f"{text}{lists.ARROW}{label}" for text, label in others)
    # The space before the label is the completion's
    return Labelled(lines, f"{asked}{lists.ARROW}".rstrip(), options, options.index(right))


LABELS = Task("labels", Labelled, read_labels, "Which label does the input have in this list?")
LABELS8 = LABELS._replace(
    name="labels8", about="Which of eight labels does it have?", read=partial(read_labels, whole_set=True)
)
