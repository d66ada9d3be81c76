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
ARROWS = (" -> ", ": ", " | ")
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
    c.say([f"{word} " for word in OPINIONS[name]])
    c.say(SUBJECTS)


def _name(c: Chooser, name: str) -> None:
    c.say(words.GIRLS if name == "girl" else words.BOYS)


def _number(c: Chooser, name: str) -> None:
    c.say([f"the {noun if name == 'one' else plural(noun)}" for noun in words.THINGS])


def _tense(c: Chooser, name: str) -> None:
    c.say([f"{person.name} " for person in words.PEOPLE])
    c.say([(third if name == "present" else past)(verb) for verb in words.VERBS])


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
    """A rule and the lines; arrow and set of labels are chosen where the first line shows them."""
    rule = c.pick(tuple(RULES))
    kind, _ = _input(c, rule, ())
    arrow = c.any(ARROWS, show=str)
    names, label = c.any([(names, label) for names in LABELS for label in names], show=lambda pair: pair[1])
    _end(c, kind, label)
    c.call(_lines, rule, arrow, names, ((kind, label),), 1)
    return LabelledList(rule, arrow)


def _input(c: Chooser, rule: str, labels: Labels) -> tuple[str, str]:
    """The class of the next line's input, its label ("" if it is the first of its class), and the input's words."""
    classes, most, example = RULES[rule]
    new = not labels or (len(labels) < most and c.pick((True, False), (most - len(labels), len(labels))))
    kind, label = c.any([(kind, "") for kind in classes if kind not in dict(labels)] if new else labels)
    example(c, kind)
    return kind, label


def _end(c: Chooser, kind: str, label: str) -> None:
    c.mark()
    c.note((kind, label))


def _lines(c: Chooser, rule: str, arrow: str, names: tuple[str, ...], labels: Labels, line: int) -> None:
    """What comes after line number `line`."""
    if line >= MOST or (line >= LEAST and not c.pick((True, False), (MORE, 1 - MORE))):
        return
    c.emit("\n")
    kind, label = _input(c, rule, labels)
    c.emit(arrow)
    if label:
        c.emit(label)
    else:
        label = c.any([name for name in names if name not in dict(labels).values()], show=str)
        labels = (*labels, (kind, label))
    _end(c, kind, label)
    c.call(_lines, rule, arrow, names, labels, line + 1)
