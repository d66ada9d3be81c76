"""Stories with a summary: a story, "TL;DR:", and one sentence: what was wished for, and whether it came true."""

from __future__ import annotations

from minigpt.data.storyworld.endings import wished
from minigpt.data.storyworld.engine import Chooser
from minigpt.data.storyworld.english import a, at
from minigpt.data.storyworld.facts import Story, Summarised
from minigpt.data.storyworld.stories import story


def summarised(c: Chooser) -> Summarised:
    s = story(c)
    c.emit(f"\nTL;DR: {summary(s)}")
    return Summarised(s, summary(s))


def summary(s: Story) -> str:
    """What the hero wished for, and what came of it; it follows from the facts."""
    hero, friend, thing, his = s.hero.name, s.friend.name, wished(s), s.hero.his
    match s.plot:
        case "fetch":
            good, bad = f"got {his} {thing} with {a(s.tried)}", f"could not get {his} {thing} with {a(s.tried)}"
        case "weather":
            good, bad = f"could {thing} with {friend}", f"could not {thing} with {friend}"
        case "trade":
            swap = f"swap {a(s.tried)} for {friend}'s {thing}"
            good, bad = f"could {swap}", f"could not {swap}"
        case "search":
            good, bad = f"found {his} {thing} {at(s.tried)}", f"did not find {his} {thing} {at(s.tried)}"
        case _:
            good, bad = f"made friends with {a(thing)}", f"could not make friends with {a(thing)}"
    return f"{hero} {good if s.success else bad}."
