"""Lists of labelled examples, with labels that mean something in one list alone.

Which label stands for which class is drawn anew for every list, so it can only be learned from the lines before: here a
model learns to learn from its context. Whether the next line is of a class that had no label yet, and if not of which,
is drawn for every line. An input belongs to one class of its rule, so whoever knows the rule knows the label of every
class that came before. Inputs are single words, and of some rules there are so few that they come back: to repeat what
stood behind the same word is the first thing to be learned, and what stood behind another word of its class the next.
"""

from __future__ import annotations

from typing import NamedTuple

from minigpt.data.storyworld import lexicon as words
from minigpt.data.storyworld.engine import Chooser
from minigpt.data.storyworld.english import past, plural, third
from minigpt.data.storyworld.facts import LabelledList

LEAST, MOST, MORE = 8, 16, 15 / 16  # how many lines there are; how often another follows
ARROW = ": "
LABELS = (
    ("dax", "wug", "blip", "fep", "zorp", "toma", "gazzer", "kiki"),
    ("A", "B", "C", "D", "E", "F", "G", "H"),
)


class Rule(NamedTuple):
    """What tells the classes apart: the words of each, and how many classes a list has at most."""

    classes: dict[str, tuple[str, ...]]
    most: int


RULES = {
    "kinds": Rule(
        {
            "animal": ("rabbit", "dog", "cat", "bird"),
            "thing": ("ball", "drum", "kite", "lamp"),
            "place": ("garden", "park", "forest", "market"),
            "food": ("carrot", "fish", "cheese", "honey"),
            "colour": ("red", "blue", "green", "yellow"),
            "family": ("brother", "sister", "uncle", "aunt"),
        },
        3,
    ),
    "opinions": Rule(
        {
            "good": ("friendly", "clean", "pretty", "clever", "strong", "fresh"),
            "bad": ("rude", "dirty", "ugly", "silly", "weak", "stale"),
        },
        2,
    ),
    "names": Rule({"girl": words.GIRLS, "boy": words.BOYS}, 2),
    "numbers": Rule({"one": words.THINGS[:12], "many": tuple(map(plural, words.THINGS[:12]))}, 2),
    "tenses": Rule({"present": tuple(map(third, words.VERBS)), "past": tuple(map(past, words.VERBS))}, 2),
}
Labels = tuple[tuple[str, str], ...]  # of the classes that came so far


def labelled_list(c: Chooser) -> LabelledList:
    """A rule and the lines; the set of labels is chosen where the first line shows one of it."""
    rule = c.pick(tuple(RULES))
    kind, _ = _input(c, rule, ())
    names, label = c.any([(names, label) for names in LABELS for label in names], show=lambda pair: pair[1])
    _end(c, kind, label)
    c.call(_lines, rule, names, ((kind, label),), 1)
    return LabelledList(rule)


def _input(c: Chooser, rule: str, labels: Labels) -> tuple[str, str]:
    """The class of the next line's input, its label ("" if it is the first of its class); the input and the arrow."""
    classes, most = RULES[rule]
    new = not labels or (len(labels) < most and c.pick((True, False), (most - len(labels), len(labels))))
    kind, label = c.any([(kind, "") for kind in classes if kind not in dict(labels)] if new else labels)
    c.say(classes[kind])
    c.emit(ARROW)
    return kind, label


def _end(c: Chooser, kind: str, label: str) -> None:
    c.mark()
    c.note((kind, label))


def _lines(c: Chooser, rule: str, names: tuple[str, ...], labels: Labels, line: int) -> None:
    """What comes after line number `line`."""
    if line >= MOST or (line >= LEAST and not c.pick((True, False), (MORE, 1 - MORE))):
        return
    c.emit("\n")
    kind, label = _input(c, rule, labels)
    if label:
        c.emit(label)
    else:
        label = c.any([name for name in names if name not in dict(labels).values()], show=str)
        labels = (*labels, (kind, label))
    _end(c, kind, label)
    c.call(_lines, rule, names, labels, line + 1)
