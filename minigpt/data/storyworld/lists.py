"""Lists of labelled words, with labels that mean something in one list alone.

Which label stands for which kind of thing is drawn anew for every list, so it can only be learned from the lines
before: here a model learns to learn from its context. Whether the next line is of a kind that had no label yet, and if
not of which, is drawn for every line. A word belongs to one kind, so whoever knows the kinds knows the label of every
kind that came before. There are few words, so they come back: to repeat what stood behind the same word is the first
thing to be learned, and what stood behind another word of its kind the next.
"""

from __future__ import annotations

from minigpt.data.storyworld.engine import Chooser
from minigpt.data.storyworld.facts import LabelledList

LEAST, MOST, MORE = 8, 16, 15 / 16  # how many lines there are; how often another follows
CLASSES = 4  # that a list has at most
ARROW = ": "
LABELS = ("dax", "wug", "blip", "fep", "zorp", "toma", "gazzer", "kiki")
KINDS = {
    "animal": ("rabbit", "dog", "cat", "bird"),
    "thing": ("ball", "drum", "kite", "lamp"),
    "place": ("garden", "park", "forest", "market"),
    "food": ("carrot", "fish", "cheese", "honey"),
    "colour": ("red", "blue", "green", "yellow"),
    "family": ("brother", "sister", "uncle", "aunt"),
}
Labels = tuple[tuple[str, str], ...]  # of the kinds that came so far


def labelled_list(c: Chooser) -> LabelledList:
    c.call(_lines, (), 0)
    return LabelledList()


def _lines(c: Chooser, labels: Labels, line: int) -> None:
    """What comes after `line` lines."""
    if line >= MOST or (line >= LEAST and not c.pick((True, False), (MORE, 1 - MORE))):
        return
    if line:
        c.emit("\n")
    left = CLASSES - len(labels)
    new = not labels or (left > 0 and c.pick((True, False), (left, len(labels))))
    kind, label = c.any([(kind, "") for kind in KINDS if kind not in dict(labels)] if new else labels)
    c.say(KINDS[kind])
    c.emit(ARROW)
    if new:
        label = c.any([name for name in LABELS if name not in dict(labels).values()], show=str)
        labels = (*labels, (kind, label))
    else:
        c.emit(label)
    c.mark()
    c.note((kind, label))
    c.call(_lines, labels, line + 1)
