"""Pronouns that could be either's by their form: DPRD and the Winograd schemas.

A pair of sentences differs in the reason alone: who helps because he "wanted to help" is not who is helped because he
"had asked for help". Helper and helped stand first equally often, and so do the candidates in either order.
"""

from __future__ import annotations

from collections.abc import Iterator

from minigpt.data.storyworld import lexicon
from minigpt.data.storyworld.english import a
from minigpt.tasks.examples import Pronoun
from minigpt.tasks.world.drawing import choices, shuffled, stories

REASONS = {"friend": ("wanted to help", "was always kind"), "hero": ("had asked for help", "did not know what to do")}


def schemas(seed: int, split: str, purpose: str) -> Iterator[Pronoun]:
    c = choices(seed, split, purpose)
    for story in stories(seed, split, purpose, ("fetch", "animal")):
        hero = story.hero
        friend = c.pick([person for person in lexicon.PEOPLE if person.female == hero.female and person != hero])
        what = a(story.tried) if story.plot == "fetch" else story.tried
        told = c.pick(
            (
                f"{friend.name} lent {hero.name} {what}",
                f"{friend.name} brought {hero.name} {what}",
                f"{hero.name} got {what} from {friend.name}",
                f"{hero.name} was given {what} by {friend.name}",
            )
        )
        for whose in shuffled(c, ("hero", "friend")):
            candidates = shuffled(c, (hero.name, friend.name))
            label = candidates.index(hero.name if whose == "hero" else friend.name)
            reason = c.pick(REASONS[whose])
            yield Pronoun(f"{told}, because ", hero.he, f" {reason}.", tuple(candidates), label)


def dprd(seed: int, split: str) -> Iterator[Pronoun]:
    return schemas(seed, split, "dprd")


def winograd(seed: int, split: str) -> Iterator[Pronoun]:
    return schemas(seed, split, "winograd")
