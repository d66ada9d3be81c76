"""How stories end: the fourth sentence (what came of it) and the fifth (how the hero feels), from the facts alone.

A story that ends well and one that ends badly are told with the same nouns and names, and whichever those are, both are
equally probable: whoever sees an ending alone cannot know whether it is the right one.
"""

from __future__ import annotations

from minigpt.data.storyworld import lexicon as words
from minigpt.data.storyworld.engine import Chooser
from minigpt.data.storyworld.english import at, capital
from minigpt.data.storyworld.facts import Story

TOLD = 0.9  # how often the fourth sentence tells what came of it; else the fifth has to follow from the first three


def noun(phrase: str) -> str:
    """ "some fish" → "fish"."""
    return phrase.split()[-1]


def consequence(c: Chooser, s: Story) -> Story:
    """The fourth sentence."""
    told = c.pick((True, False), (TOLD, 1.0 - TOLD))
    good, bad, open_ = _CONSEQUENCES[s.plot](s)
    c.say([f" {sentence}" for sentence in ((good if s.success else bad) if told else open_)])
    return s._replace(told=told)


def _fetch(s: Story) -> tuple[list[str], list[str], list[str]]:
    he, name, thing, tool = capital(s.hero.he), s.friend.name, s.thing, s.tried
    return (
        [
            f"With the {tool}, {s.hero.he} got the {thing}.",
            f"The {tool} was just right, and soon they had the {thing}.",
        ],
        [
            f"With the {tool}, {s.hero.name} could not get the {thing}.",
            f"The {tool} was no help, and the {thing} stayed there.",
        ],
        [
            f"{s.hero.name} took the {tool} and tried {s.hero.his} best.",
            f"{he} tried it with the {tool}, and {name} watched.",
        ],
    )


def _weather(s: Story) -> tuple[list[str], list[str], list[str]]:
    return (
        [f"So they could {s.thing} after all.", "It was just what they needed."],
        [f"So they could not {s.thing} after all.", "It was not what they needed."],
        ["They opened the door and looked up.", f"{s.hero.name} and {s.friend.name} ran out to look at the sky."],
    )


def _trade(s: Story) -> tuple[list[str], list[str], list[str]]:
    hero, friend = s.hero, s.friend.name
    return (
        [
            f"{friend} took the {s.tried} and gave {hero.name} the {s.thing}.",
            f"{friend} liked the {s.tried} and handed over the {s.thing}.",
        ],
        [
            f"{friend} did not take the {s.tried} and kept the {s.thing}.",
            f"{friend} did not like the {s.tried} and held on to the {s.thing}.",
        ],
        [
            f"{friend} looked at the {s.tried} for a long time.",
            f"{hero.name} showed {friend} the {s.tried} and waited.",
        ],
    )


def _search(s: Story) -> tuple[list[str], list[str], list[str]]:
    he, where = capital(s.hero.he), at(s.tried)
    return (
        [f"The {s.thing} was there, under a box.", f"{s.hero.name} found the {s.thing} behind a door."],
        [f"The {s.thing} was not there.", f"{s.hero.name} did not find the {s.thing} there."],
        [f"{s.hero.name} looked under every box {where}.", f"{he} opened every door {where}."],
    )


def _animal(s: Story) -> tuple[list[str], list[str], list[str]]:
    he, food, kind = capital(s.hero.he), noun(s.tried), s.thing
    return (
        [f"The {kind} came out and ate the {food}.", f"The {kind} liked the {food} and came to {s.hero.name}."],
        [
            f"The {kind} did not eat the {food} and stayed {s.obstacle.replace(' a ', ' the ')}.",
            f"The {kind} did not like the {food} and did not come.",
        ],
        [f"{s.hero.name} held out the {food} and waited.", f"{he} put the {food} on the ground for the {kind}."],
    )


_CONSEQUENCES = {"fetch": _fetch, "weather": _weather, "trade": _trade, "search": _search, "animal": _animal}


def ending(c: Chooser, s: Story) -> Story:
    """The fifth sentence: a feeling with its reason, or what the hero does."""
    c.emit(" ")
    frame = c.pick(("feeling", "gesture", "goodbye"))
    hero = s.hero
    if frame == "feeling":
        c.say(["In the end, ", f"By {words.TIMES[s.time]}, ", "At last, "])
        c.say([hero.name, hero.he], (2, 1))
        feeling = c.any(words.GLAD if s.success else words.SAD, show=lambda w: f" was {w}, ")
        c.say(["because ", "for "])
        c.say(_reasons(s))
    else:
        c.say([hero.name, capital(hero.he)], (2, 1))
        if frame == "gesture":
            feeling = c.any(words.SMILED if s.success else words.SIGHED, show=lambda w: f" {w} and ")
        else:
            feeling = ""
            c.say([f" said goodbye to {s.friend.name} and ", f" said goodbye to {hero.his} {s.relation} and "])
        c.say(_deeds(s))
    c.emit(".")
    return s._replace(feeling=feeling)


def wished(s: Story) -> str:
    """ "red kite", "grey rabbit"."""
    return f"{s.adjective} {s.thing}".strip()


def _reasons(s: Story) -> list[str]:
    """Why the hero is glad or sad."""
    he, his, friend, thing = s.hero.he, s.hero.his, s.friend.name, wished(s)
    match s.plot:
        case "fetch" | "search":
            where = words.OBSTACLES[s.obstacle][2] if s.plot == "fetch" else at(s.need)
            good = [f"{he} had {his} {thing} now", f"{his} {thing} was back"]
            bad = [f"{he} did not have {his} {thing}", f"{his} {thing} was still {where}"]
        case "weather":
            good = [f"{he} could {thing}", f"there was enough {words.WEATHER_NOUN[s.need]}"]
            bad = [f"{he} could not {thing}", f"there was no {words.WEATHER_NOUN[s.need]}"]
        case "trade":
            good = [f"{he} had the {thing} now", f"the {thing} was {his} own"]
            bad = [f"{he} did not have the {thing}", f"the {thing} was still {friend}'s"]
        case _:
            good = [f"the {thing} was {his} friend now", f"the {thing} trusted {s.hero.him}"]
            bad = [f"the {thing} was still afraid", f"the {thing} did not trust {s.hero.him}"]
    return good if s.success else bad


def _deeds(s: Story) -> list[str]:
    """What the hero does at the end."""
    thing, later = wished(s), words.TIMES[s.time]
    match s.plot:
        case "weather":
            done = words.PLANS[thing][1]
            good = [f"{done} until late", f"{done} {at(s.place)}"]
            bad = [f"did not {thing} that day", f"did not {thing} {at(s.place)}"]
        case "animal":
            good = [f"stroked the {thing}", f"stayed with the {thing} until {later}"]
            bad = [f"did not stroke the {thing}", f"left the {thing} alone"]
        case _:
            good = [f"took the {thing} home", f"went home with the {thing}"]
            bad = [f"did not take the {thing} home", f"went home without the {thing}"]
    return good if s.success else bad
