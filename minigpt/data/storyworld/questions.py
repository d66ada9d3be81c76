"""Short texts with a question and its answer, or with a claim that is true or false.

The texts are reports of who took which thing where, so that the answer is what holds at the end, or stories. A false
claim names people, things and places of the text, and some claims deny: no single word tells true from false.
"""

from __future__ import annotations

from minigpt.data.storyworld import lexicon as words
from minigpt.data.storyworld.endings import ending, wished
from minigpt.data.storyworld.engine import Chooser
from minigpt.data.storyworld.english import at
from minigpt.data.storyworld.facts import Claim, Event, Person, Question, Report, Story
from minigpt.data.storyworld.rendering import opposite
from minigpt.data.storyworld.stories import story, unended

DENIED = 0.3  # how many claims about a report say "not"
MORE = 0.6  # how often another event follows, up to four of them


def report(c: Chooser) -> Report:
    """Two people carry two things to two places; then things are carried on, or change hands."""
    anna = c.any(words.PEOPLE, show=lambda p: p.name)
    events = [_carry(c, anna, _new_thing(c, ()), ())]
    c.emit(" ")
    ben = c.any([p for p in words.PEOPLE if p != anna], show=lambda p: p.name)
    events.append(_carry(c, ben, _new_thing(c, events), events))
    while len(events) < 4 and c.pick((True, False), (MORE, 1 - MORE)):
        events.append(_later(c, events))
    return Report(tuple(events))


def _new_thing(c: Chooser, events: tuple | list[Event]) -> str:
    c.say([" took the ", " carried the ", " brought the "])
    return c.any([w for w in words.THINGS if w not in [e.thing for e in events]], show=str)


def _carry(c: Chooser, person: Person, thing: str, events: tuple | list[Event]) -> Event:
    """To a place that was not mentioned yet: two things are never in the same."""
    places = [p for p in words.PLACES if p not in [e.place for e in events]]
    place = c.any(places, show=lambda p: f" to the {p}.")
    c.mark()
    return Event("take", person, thing, place)


def _later(c: Chooser, events: list[Event]) -> Event:
    """One of the things is taken somewhere else by one of the two, or given to the other one."""
    so_far = Report(tuple(events))
    c.say([" Then ", " Later, ", " After that, "])
    if c.pick(("take", "give")) == "take":
        person = c.any(so_far.people[:2], show=lambda p: p.name)
        c.say([" took the ", " carried the ", " brought the "])
        thing = c.any(so_far.things, show=str)
        return _carry(c, person, thing, events)
    thing = c.any(so_far.things)
    giver = so_far.owner(thing)
    other = next(p for p in so_far.people if p != giver)
    c.emit(f"{giver.name} gave the {thing} to {other.name}.")
    c.mark()
    return Event("give", giver, thing, other=other)


def report_question(c: Chooser, r: Report) -> tuple[str, str, str]:
    """What is asked, the question, the answer."""
    asked = c.any(("where", "who", "what"))
    thing = c.any(r.things)
    return {
        "where": ("where", f"Where is the {thing}?", f"the {r.place(thing)}"),
        "who": ("who", f"Who has the {thing}?", r.owner(thing).name),
        "what": ("what", f"What is {at(r.place(thing))}?", f"the {thing}"),
    }[asked]


def question(c: Chooser) -> Question:
    """A report, and a question about it."""
    r = report(c)
    asked, words_, answer = report_question(c, r)
    return _asked(c, r, asked, words_, answer)


def reading(c: Chooser) -> Question:
    """A story, and a question about it."""
    s = story(c)
    asked = c.any(("who", "what", "whether"))
    return _asked(c, s, asked, *story_question(s, asked))


def _asked(c: Chooser, source: Report | Story, asked: str, words_: str, answer: str) -> Question:
    c.emit(f"\nQ: {words_}\nA: {answer}")
    return Question(source, words_, answer, asked)


def story_question(s: Story, asked: str) -> tuple[str, str]:
    """A question about a story and its answer: "who" helped, "what" came, "whether" the wish came true."""
    hero, his, thing = s.hero.name, s.hero.his, wished(s)
    who, what, whether = {
        "fetch": (f"Who helped {hero}?", f"What did {s.friend.name} bring?", f"Did {hero} get {his} {thing}?"),
        "weather": (f"Who was with {hero}?", f"What did {hero} want to do?", f"Could {hero} {s.thing}?"),
        "trade": (f"Who did {hero} meet?", f"What did {hero} bring?", f"Did {hero} get the {thing}?"),
        "search": (f"Who had seen the {s.thing}?", "What was lost?", f"Did {hero} find {his} {thing}?"),
        "animal": (f"Who helped {hero}?", f"What did {s.friend.name} bring?", f"Did the {thing} trust {hero}?"),
    }[s.plot]
    came = {"weather": s.thing, "search": f"{his} {thing}", "animal": s.tried}.get(s.plot, f"the {s.tried}")
    answers = {"who": s.friend.name, "what": came, "whether": "yes" if s.success else "no"}
    return {"who": who, "what": what, "whether": whether}[asked], answers[asked]


def claim(c: Chooser) -> Claim:
    """A story without its end or a report, and a claim about it that is as often true as false."""
    if c.pick(("end", "report"), (2, 1)) == "end":
        source: Story | Report = unended(c)
        true = c.pick((True, False))
        c.emit("\nquestion:")
        ending(c, source if true else opposite(source))
    else:
        source = report(c)
        c.emit("\nquestion: ")
        true = _about_report(c, source)
    c.mark()
    c.emit(f" True or False?\nanswer: {true}")
    return Claim(source, true)


def _about_report(c: Chooser, r: Report) -> bool:
    """Say where a thing is, or who has it; whether that is so."""
    thing = c.any(r.things)
    about, denied, right = c.pick(("where", "who")), c.pick((True, False), (DENIED, 1 - DENIED)), c.pick((True, False))
    if about == "where":
        place = r.place(thing) if right else c.any([p for p in r.places if p != r.place(thing)])
        c.emit(f"The {thing} is {'not ' if denied else ''}{at(place)}.")
    else:
        owner = r.owner(thing)
        person = owner if right else next(p for p in r.people if p != owner)
        c.emit(f"{person.name} {'does not have' if denied else 'has'} the {thing}.")
    return right != denied
