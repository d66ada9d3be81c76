"""Sentence pairs: MRPC (do they say the same?), QQP (do they ask the same?), STS-B (how much do they share?).

Both sentences name the same people, things and places, in two of several wordings; where they differ, two of those have
changed their parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from minigpt.data.storyworld import lexicon
from minigpt.data.storyworld.engine import Drawing
from minigpt.data.storyworld.english import at, capital
from minigpt.data.storyworld.facts import Event
from minigpt.tasks.examples import Classification, Similarity
from minigpt.tasks.world.drawing import choices, reports, shuffled, stories


def mrpc(seed: int, split: str) -> Iterator[Classification]:
    """Two events in one sentence; in the other, the same, or the two things, people or places are exchanged."""
    c = choices(seed, split, "mrpc")
    for report in reports(seed, split, "mrpc"):
        one, two = report.events[:2]
        same = c.pick((True, False))
        first, second = _two_events(c, one, two), _two_events(c, *((one, two) if same else _exchanged(c, one, two)))
        if first != second:
            yield Classification(first, second, int(same))


def _exchanged(c: Drawing, one: Event, two: Event) -> tuple[Event, Event]:
    part = c.pick(("person", "thing", "place"))
    return one._replace(**{part: getattr(two, part)}), two._replace(**{part: getattr(one, part)})


def _two_events(c: Drawing, *events: Event) -> str:
    one, two = (_event(c, event) for event in shuffled(c, events))
    return capital(f"{one}{c.pick((' and ', ', and ', ', while '))}{two}.")


def _event(c: Drawing, event: Event) -> str:
    who, thing, place = event.person.name, event.thing, event.place
    if c.pick((True, False)):
        return f"{who} {c.pick(('took', 'carried', 'brought'))} the {thing} to the {place}"
    return f"the {thing} was {c.pick(('taken', 'carried', 'brought'))} to the {place} by {who}"


# Two questions about the same, in three wordings each. What tells the two apart is another word in each wording, so two
# of them share as many words whether they ask the same or not.
_ASKED = (
    (
        (
            "Who gave {person} the {thing}?",
            "By whom was the {thing} given to {person}?",
            "From whose hands did {person} get the {thing}?",
        ),
        (
            "Who did {person} give the {thing}?",
            "To whom was the {thing} given by {person}?",
            "Into whose hands did {person} put the {thing}?",
        ),
    ),
    (
        (
            "Where did {person} take the {thing} to?",
            "Into which place did {person} take the {thing}?",
            "Which place did {person} reach with the {thing}?",
        ),
        (
            "Where did {person} take the {thing} from?",
            "Out of which place did {person} take the {thing}?",
            "Which place did {person} leave with the {thing}?",
        ),
    ),
)


def qqp(seed: int, split: str) -> Iterator[Classification]:
    """Who gave or was given, whither or whence: two questions about the same person and thing."""
    c = choices(seed, split, "qqp")
    for report in reports(seed, split, "qqp"):
        event = c.pick(report.events[:2])
        same, questions = c.pick((True, False)), shuffled(c, c.pick(_ASKED))
        first, second = shuffled(c, range(3))[:2]
        texts = questions[0][first], questions[0 if same else 1][second]
        one, two = (text.format(thing=event.thing, person=event.person.name) for text in texts)
        yield Classification(one, two, int(same))


class _Gift(NamedTuple):
    giver: str
    taker: str
    adjective: str
    thing: str
    place: str


_NAMES = tuple(person.name for person in lexicon.PEOPLE)
_PARTS = {
    "giver": _NAMES,
    "taker": _NAMES,
    "adjective": lexicon.ADJECTIVES,
    "thing": lexicon.THINGS,
    "place": tuple(lexicon.OUTDOORS),
}


def stsb(seed: int, split: str) -> Iterator[Similarity]:
    """Who gave what to whom, and where: the score counts how many of five parts are the same."""
    c = choices(seed, split, "stsb")
    for story in stories(seed, split, "stsb", ("fetch", "trade")):
        one = _Gift(story.hero.name, story.friend.name, story.adjective, story.thing, story.place)
        two, shared = _altered(c, one, c.pick(range(6)))
        first, second = (c.pick(_wordings(gift)) for gift in (one, two))
        yield Similarity(first, second, float(shared))


def _altered(c: Drawing, gift: _Gift, shared: int) -> tuple[_Gift, int]:
    """A gift that shares so many parts; with three shared, giver and taker may just have changed places."""
    if shared == 3 and c.pick((True, False)):
        return gift._replace(giver=gift.taker, taker=gift.giver), shared
    changes: dict[str, str] = {}
    for part in shuffled(c, _Gift._fields)[: 5 - shared]:
        taken = {*gift, *changes.values()}
        changes[part] = c.pick([word for word in _PARTS[part] if word not in taken])
    return gift._replace(**changes), shared


def _wordings(g: _Gift) -> tuple[str, ...]:
    thing, place = f"the {g.adjective} {g.thing}", at(g.place)
    return (
        f"{g.giver} gave {thing} to {g.taker} {place}.",
        f"{capital(place)}, {g.giver} gave {g.taker} {thing}.",
        f"{capital(thing)} was given to {g.taker} by {g.giver} {place}.",
        f"{g.taker} got {thing} from {g.giver} {place}.",
    )
