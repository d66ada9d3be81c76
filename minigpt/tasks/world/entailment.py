"""Entailment: MNLI, RTE and QNLI. Does one text follow from another, or answer a question?

Every hypothesis names people, things and places of its premise, denies as often as it affirms, and stands in the same
words under every label; what decides is who did what to which thing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from minigpt.data.storyworld import lexicon, split_of
from minigpt.data.storyworld.engine import Drawing
from minigpt.data.storyworld.english import at, capital
from minigpt.tasks.examples import ENTAILMENT, TWO_WAY, Classification
from minigpt.tasks.world.cloze import two_endings
from minigpt.tasks.world.drawing import choices, reports, shuffled

CARRIED = ("took", "carried", "brought")


class _Scene(NamedTuple):
    """Two things that were carried somewhere, two of which it is only said that they were given away."""

    premise: str
    mentioned: tuple[str, ...]  # all places
    places: dict[str, str]  # of the first two things, where each is
    given: tuple[str, str]  # the other two, of which nobody says where they are


def mnli(seed: int, split: str, genre: str = "carried") -> Iterator[Classification]:
    """Where things are: said (entailment), denied (contradiction), or of a thing of which the text does not say it.

    Args:
        genre: "carried" (MNLI's matched parts), or "moved", where things are carried on (mismatched).
    """
    c = choices(seed, split, "mnli", genre)
    for _ in count():
        scene = _scene(c, genre)
        if split_of(scene.premise) != split:
            continue
        label, denied = c.pick(range(3)), c.pick((True, False))
        thing = c.pick(scene.given if ENTAILMENT[label] == "neutral" else tuple(scene.places))
        here = (ENTAILMENT[label] == "entailment") != denied
        others = [place for place in scene.mentioned if place != scene.places.get(thing)]
        place = scene.places[thing] if here and thing in scene.places else c.pick(others)
        yield Classification(scene.premise, f"The {thing} is {'not ' if denied else ''}{at(place)}.", label)


def _scene(c: Drawing, genre: str) -> _Scene:
    things = shuffled(c, lexicon.THINGS)[:4]
    people = [person.name for person in shuffled(c, lexicon.PEOPLE)[:4]]
    first, second, third, fourth = shuffled(c, tuple(lexicon.PLACES))[:4]
    told = [_carry(c, people[0], things[0], first), _carry(c, people[1], things[1], second)]
    told += [f"{people[2]} gave the {things[2]} to {people[0]}.", f"{people[1]} gave the {things[3]} to {people[3]}."]
    told = shuffled(c, told)
    if genre == "carried":
        return _Scene(" ".join(told), (first, second), {things[0]: first, things[1]: second}, (things[2], things[3]))
    told += [f"Then {_carry(c, people[2], things[0], third)}", f"After that, {_carry(c, people[3], things[1], fourth)}"]
    places = {things[0]: third, things[1]: fourth}
    return _Scene(" ".join(told), (first, second, third, fourth), places, (things[2], things[3]))


def _carry(c: Drawing, who: str, thing: str, place: str) -> str:
    return f"{who} {c.pick(CARRIED)} the {thing} to the {place}."


def rte(seed: int, split: str) -> Iterator[Classification]:
    """Four sentences of a story, and a fifth that follows from them or contradicts them, as in Story Cloze."""
    c = choices(seed, split, "rte")
    for begun, right, wrong in two_endings(seed, split, "rte"):
        follows = c.pick((True, False))
        yield Classification(begun, right if follows else wrong, _label(follows))


def _label(follows: bool) -> int:
    return TWO_WAY.index("entailment" if follows else "not_entailment")


def qnli(seed: int, split: str) -> Iterator[Classification]:
    """Two questions about a thing, and two sentences that name it, each of which answers one of them."""
    c = choices(seed, split, "qnli")
    for report in reports(seed, split, "qnli"):
        events = list(zip(report.events, report.sentences, strict=True))
        given = {event.thing for event, _ in events if event.action == "give"}
        if not given:
            continue
        thing = c.pick(sorted(given))
        action, asked = c.pick(("take", "give")), c.pick(("take", "give"))
        sentence = c.pick([text for event, text in events if event.thing == thing and event.action == action])
        yield Classification(_question(c, thing, asked), _alone(sentence), _label(action == asked))


def _question(c: Drawing, thing: str, asked: str) -> str:
    where = (f"Where did the {thing} go to?", f"Which place did somebody take the {thing} to?")
    who = (f"Who did the {thing} go to?", f"Which person did somebody give the {thing} to?")
    return c.pick(where if asked == "take" else who)


def _alone(sentence: str) -> str:
    """A sentence without the word that ties it to the one before."""
    for tie in ("Then ", "Later, ", "After that, "):
        sentence = sentence.removeprefix(tie)
    return capital(sentence)
