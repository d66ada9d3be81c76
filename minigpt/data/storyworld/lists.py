"""Lists of labelled examples, with labels that mean something in one list alone.

Which label stands for which class is drawn anew for every list, so it can only be learned from the lines before: here a
model learns to learn from its context. Whether the next line is of a class that had no label yet, and if not of which,
is drawn for every line. An input belongs to one class of its rule, so whoever knows the rule knows the label of every
class that came before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from minigpt.data.storyworld import lexicon as words
from minigpt.data.storyworld.engine import Chooser
from minigpt.data.storyworld.english import past, plural, third
from minigpt.data.storyworld.facts import LabelledList

LEAST, MOST, MORE = 4, 16, 7 / 8  # how many lines there are; how often another follows
FRAMES = (("", " -> "), ("", ": "), ("Input: ", " Label: "))
LABELS = (
    ("dax", "wug", "blip", "fep", "zorp", "toma", "gazzer", "kiki"),
    ("A", "B", "C", "D", "E", "F", "G", "H"),
    ("1", "2", "3", "4", "5", "6", "7", "8"),
    ("alpha", "beta", "gamma", "delta", "kappa", "lambda", "sigma", "omega"),
)
KINDS = {
    "animal": ("rabbit", "dog", "cat", "mouse", "bird", "horse", "monkey", "squirrel"),
    "thing": ("ball", "drum", "kite", "doll", "lamp", "flute", "umbrella", "basket"),
    "place": ("garden", "park", "forest", "beach", "market", "kitchen", "library", "barn"),
    "food": ("carrot", "bone", "fish", "cheese", "apple", "banana", "nut", "honey"),
    "colour": ("red", "blue", "green", "yellow", "white", "black", "brown", "purple"),
    "family": ("brother", "sister", "uncle", "aunt", "cousin", "mother", "father", "child"),
}
OPINIONS = {"good": ("good", "great", "lovely", "fine"), "bad": ("bad", "awful", "terrible", "poor")}
SUBJECTS = ("hotel", "soup", "film", "lamp", "book", "song", "room", "staff")


def _kind(c: Chooser, name: str) -> None:
    c.say(KINDS[name])


def _opinion(c: Chooser, name: str) -> None:
    c.say([f"The {subject} was " for subject in SUBJECTS])
    c.say([degree + word for degree in ("very ", "really ", "") for word in OPINIONS[name]])


def _name(c: Chooser, name: str) -> None:
    c.say(words.GIRLS if name == "girl" else words.BOYS)


def _number(c: Chooser, name: str) -> None:
    c.say([f"the {noun if name == 'one' else plural(noun)}" for noun in words.THINGS])


def _tense(c: Chooser, name: str) -> None:
    c.say([f"{person.name} " for person in words.PEOPLE])
    c.say([f"{(third if name == 'present' else past)(verb)} the " for verb in words.VERBS])
    c.say(words.THINGS)


class Rule(NamedTuple):
    """What tells the classes apart: all there are, how many a list has at most, and the program of an input."""

    classes: tuple[str, ...]
    most: int
    example: Callable[[Chooser, str], None]


RULES = {
    "kinds": Rule(tuple(KINDS), 3, _kind),
    "opinions": Rule(tuple(OPINIONS), 2, _opinion),
    "names": Rule(("girl", "boy"), 2, _name),
    "numbers": Rule(("one", "many"), 2, _number),
    "tenses": Rule(("present", "past"), 2, _tense),
}
Labels = tuple[tuple[str, str], ...]  # of the classes that came so far


def labelled_list(c: Chooser) -> LabelledList:
    """A rule, a frame, a set of labels, and the lines."""
    rule = c.pick(tuple(RULES))
    frame = c.any(FRAMES)
    c.call(_lines, rule, frame, c.any(LABELS), (), 1)
    return LabelledList(rule, frame)


def _lines(c: Chooser, rule: str, frame: tuple[str, str], names: tuple[str, ...], labels: Labels, line: int) -> None:
    """Line number `line` and those after it."""
    before, between = frame
    classes, most, example = RULES[rule]
    new = not labels or (len(labels) < most and c.pick((True, False), (most - len(labels), len(labels))))
    if new:
        kind = c.any([name for name in classes if name not in dict(labels)])
    else:
        kind, label = c.any(labels)
    c.emit(before)
    example(c, kind)
    c.emit(between)
    if new:
        label = c.any([name for name in names if name not in dict(labels).values()], show=str)
        labels = (*labels, (kind, label))
    else:
        c.emit(label)
    c.mark()
    c.note((kind, label))
    if line < LEAST or (line < MOST and c.pick((True, False), (MORE, 1 - MORE))):
        c.emit("\n")
        c.call(_lines, rule, frame, names, labels, line + 1)
