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
    he, his, name, thing, tool = s.hero.he, s.hero.his, s.hero.name, s.thing, s.tried
    return (
        [
            f"With the {tool}, {he} got the {thing}.",
            f"The {tool} was just right, and soon they had the {thing}.",
            f"Thanks to the {tool}, the {thing} was soon in {his} hands.",
            f"With the {tool}, it was easy to reach the {thing}.",
            f"The {tool} worked well, and the {thing} came down to {name}.",
            f"The {tool} was a perfect choice for rescuing the {thing}.",
        ],
        [
            f"With the {tool}, {name} could not get the {thing}.",
            f"The {tool} was no help, and the {thing} stayed there.",
            f"In spite of the {tool}, the {thing} was as far away as before.",
            f"With the {tool}, it was impossible to reach the {thing}.",
            f"The {tool} was useless, and the {thing} never came to {name}.",
            f"The {tool} was a poor choice for rescuing the {thing}.",
        ],
        [
            f"{name} took the {tool} and tried {his} best.",
            f"{capital(he)} tried it with the {tool}, and {s.friend.name} watched.",
        ],
    )


def _weather(s: Story) -> tuple[list[str], list[str], list[str]]:
    return (
        [
            f"So they could {s.thing} after all.",
            "It was just what they needed.",
            "This was perfect weather for them.",
            "The sky had answered their wishes.",
            "They cheered and got ready.",
            f"Luck was with {s.hero.name} and {s.friend.name}.",
        ],
        [
            f"So they could not {s.thing} after all.",
            "It was not what they needed.",
            "This was terrible weather for them.",
            "The sky had mocked their wishes.",
            "They groaned and gave up.",
            f"Luck was against {s.hero.name} and {s.friend.name}.",
        ],
        ["They opened the door and looked up.", f"{s.hero.name} and {s.friend.name} ran out to look at the sky."],
    )


def _trade(s: Story) -> tuple[list[str], list[str], list[str]]:
    hero, friend, his = s.hero, s.friend.name, s.friend.his
    return (
        [
            f"{friend} took the {s.tried} and gave {hero.name} the {s.thing}.",
            f"{friend} liked the {s.tried} and handed over the {s.thing}.",
            f"{friend} saw the {s.tried} and agreed at once.",
            f"{friend} was pleased with the {s.tried}, and they swapped.",
            f"The {s.tried} made {friend} part with {his} {s.thing}.",
            f"{friend} nodded when {hero.he} held out the {s.tried}.",
        ],
        [
            f"{friend} did not take the {s.tried} and kept the {s.thing}.",
            f"{friend} did not like the {s.tried} and held on to the {s.thing}.",
            f"{friend} saw the {s.tried} and refused at once.",
            f"{friend} was annoyed with the {s.tried}, and they argued.",
            f"The {s.tried} made {friend} cling to {his} {s.thing}.",
            f"{friend} turned away when {hero.he} held out the {s.tried}.",
        ],
        [
            f"{friend} looked at the {s.tried} for a long time.",
            f"{hero.name} showed {friend} the {s.tried} and waited.",
        ],
    )


def _search(s: Story) -> tuple[list[str], list[str], list[str]]:
    he, where = capital(s.hero.he), at(s.tried)
    return (
        [
            f"The {s.thing} was there, under a box.",
            f"{s.hero.name} found the {s.thing} behind a door.",
            f"The {s.thing} lay there in plain sight.",
            f"Very soon the {s.thing} turned up in a corner.",
            f"The search for the {s.thing} ended well.",
            f"{he} spotted the {s.thing} on a shelf.",
        ],
        [
            f"The {s.thing} was not there.",
            f"{s.hero.name} did not find the {s.thing} there.",
            f"The {s.thing} lay somewhere else.",
            f"Hours later the {s.thing} was missing as before.",
            f"The search for the {s.thing} was in vain.",
            f"{he} saw no trace of the {s.thing} on any shelf.",
        ],
        [f"{s.hero.name} looked under every box {where}.", f"{he} opened every door {where}."],
    )


def _animal(s: Story) -> tuple[list[str], list[str], list[str]]:
    he, food, kind = capital(s.hero.he), noun(s.tried), s.thing
    return (
        [
            f"The {kind} came out and ate the {food}.",
            f"The {kind} liked the {food} and came to {s.hero.name}.",
            f"The {kind} smelled the {food} and crept closer.",
            f"Bit by bit the {food} drew the {kind} out.",
            f"The {kind} tasted the {food} and lost its fear.",
            f"The {food} was a treat for the {kind}.",
        ],
        [
            f"The {kind} did not eat the {food} and stayed {s.obstacle.replace(' a ', ' the ')}.",
            f"The {kind} did not like the {food} and did not come.",
            f"The {kind} smelled the {food} and crept further back.",
            f"Bit by bit the {food} drove the {kind} away.",
            f"The {kind} ignored the {food} and trembled.",
            f"The {food} meant nothing to the {kind}.",
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
            good = [f"{he} had {his} {thing} now", f"{his} {thing} was back", f"{his} {thing} was safe"]
            bad = [f"{he} did not have {his} {thing}", f"{his} {thing} was still {where}", f"{his} {thing} was gone"]
        case "weather":
            good = [
                f"{he} could {thing}",
                f"there was enough {words.WEATHER_NOUN[s.need]}",
                f"it was the right day to {thing}",
            ]
            bad = [
                f"{he} could not {thing}",
                f"there was no {words.WEATHER_NOUN[s.need]}",
                f"it was the wrong day to {thing}",
            ]
        case "trade":
            good = [f"{he} had the {thing} now", f"the {thing} was {his} own", f"{friend} had let the {thing} go"]
            bad = [
                f"{he} did not have the {thing}",
                f"the {thing} was still {friend}'s",
                f"{friend} had kept the {thing}",
            ]
        case _:
            good = [
                f"the {thing} was {his} friend now",
                f"the {thing} trusted {s.hero.him}",
                f"the {thing} had become tame",
            ]
            bad = [
                f"the {thing} was still afraid",
                f"the {thing} did not trust {s.hero.him}",
                f"the {thing} had remained wild",
            ]
    return good if s.success else bad


def _deeds(s: Story) -> list[str]:
    """What the hero does at the end."""
    thing, later = wished(s), words.TIMES[s.time]
    match s.plot:
        case "weather":
            done = words.PLANS[thing][1]
            good = [f"{done} until late", f"{done} {at(s.place)}", f"{done} again and again", f"{done} until {later}"]
            bad = [
                f"did not {thing} that day",
                f"did not {thing} {at(s.place)}",
                f"never got to {thing}",
                f"hoped to {thing} another day",
            ]
        case "animal":
            good = [
                f"stroked the {thing}",
                f"stayed with the {thing} until {later}",
                f"played with the {thing}",
                f"gave the {thing} a name",
            ]
            bad = [
                f"did not stroke the {thing}",
                f"left the {thing} alone",
                f"walked away from the {thing}",
                f"gave the {thing} up",
            ]
        case _:
            good = [
                f"took the {thing} home",
                f"went home with the {thing}",
                f"held the {thing} tight",
                f"showed the {thing} to everybody",
            ]
            bad = [
                f"did not take the {thing} home",
                f"went home without the {thing}",
                f"gave the {thing} up",
                f"missed the {thing} for days",
            ]
    return good if s.success else bad
