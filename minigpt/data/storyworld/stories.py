"""Stories of five sentences, in five plots: a wish, an obstacle, an action, a consequence, a feeling.

The three first sentences choose the facts, each at the word that tells it. The last two choose nothing but words (see
`endings.py`): they follow.
"""

from __future__ import annotations

from collections.abc import Callable

from minigpt.data.storyworld import lexicon as words
from minigpt.data.storyworld.endings import consequence, ending
from minigpt.data.storyworld.engine import Chooser
from minigpt.data.storyworld.english import a, at, capital
from minigpt.data.storyworld.facts import Person, Story


def story(c: Chooser) -> Story:
    """The program of a whole story; `sentences` are filled in by those who have the text."""
    s = ending(c, unended(c))
    c.mark()
    return s


def unended(c: Chooser) -> Story:
    """A story without its last sentence."""
    s = c.pick(PLOTS)(c)
    c.mark()
    s = consequence(c, s)
    c.mark()
    return s


# What the plots share.


def _opening(c: Chooser, *, weather: bool = True) -> tuple[str, str, Person]:
    """ "One rainy morning, Mia": what weather it is, if that is said; the time; the hero."""
    c.emit("One ")
    day = c.any(tuple(words.WEATHER_DAY), show=lambda w: words.WEATHER_DAY[w] + " ") if weather and _yes(c) else ""
    time = c.any(tuple(words.TIMES), show=lambda t: f"{t}, ")
    return day, time, c.any(words.PEOPLE, show=lambda p: p.name)


def _yes(c: Chooser, p: float = 0.5) -> bool:
    return c.pick((True, False), (p, 1.0 - p))


def _thing(c: Chooser, *, but: str = "") -> tuple[str, str]:
    adjective = c.any(words.ADJECTIVES, show=lambda w: f"{w} ")
    return adjective.strip(), c.any([w for w in words.THINGS if w != but], show=str)


def _friend(c: Chooser, hero: Person, *, first: bool = False) -> tuple[Person, str]:
    """ "her brother Ben": the relation tells whether the friend is a woman or a man, then comes the name.

    Args:
        first: whether it begins the sentence.
    """
    c.emit(f"{capital(hero.his) if first else hero.his} ")
    female = c.pick((True, False))
    relation = c.any(words.RELATIONS[female], show=lambda r: f"{r} ")
    people = [p for p in words.PEOPLE if p.female == female and p != hero]
    return c.any(people, show=lambda p: p.name), relation


def _dressed(c: Chooser, hero: Person, weather: str, then: str) -> bool:
    """Where the weather was told, the hero puts on what it asks for: "She put on her scarf" and `then`."""
    c.emit(" ")
    if weather:
        _named(c, hero)
        c.emit(f" put on {hero.his} {words.CLOTHES[weather]}{then}")
    return bool(weather)


def _named(c: Chooser, hero: Person) -> None:
    """The hero at the beginning of a sentence, by name or by a pronoun."""
    c.say([hero.name, capital(hero.he)], (2, 1))


def _tried(c: Chooser, need: str, others: list[str], show: Callable[[str], str]) -> str:
    """What comes: what is needed, or any of the others, with the same probability."""
    return c.any([need], show=show) if _yes(c) else c.any(others, show=show)


def _reason(c: Chooser, hero: Person, friend: Person) -> str:
    """Why the friend helps: a clause whose pronoun means the one or the other, as its sense says."""
    whose = c.pick(("", "hero", "friend"), (2, 1, 1))
    if whose == "hero":
        c.say([f", because {hero.he} had asked for help", f", because {hero.he} did not know what to do"])
    elif whose == "friend":
        c.say([f", because {friend.he} wanted to help", f", because {friend.he} was always kind"])
    c.emit(".")
    return whose


# The plots: three sentences each.


def fetch(c: Chooser) -> Story:
    """A thing is out of reach, and somebody brings a tool."""
    weather, time, hero = _opening(c)
    c.say([" wanted to play with ", " was looking for ", " went out to get "])
    c.emit(f"{hero.his} ")
    adjective, thing = _thing(c)
    place = c.any(tuple(words.OUTDOORS), show=lambda p: f" {at(p)}.")
    c.mark()
    c.say([" But it ", " But the " + thing + " ", " Sadly, it "])
    lies = [(name, told) for name, (_, told_ways, _) in words.OBSTACLES.items() for told in told_ways]
    obstacle = c.any(lies, show=lambda pair: f"{pair[1]}.")[0]
    c.mark()
    dressed = _dressed(c, hero, weather, ", and ")
    friend, relation = _friend(c, hero, first=not dressed)
    c.say([f" brought {hero.name} ", f" lent {hero.him} ", " came with "])
    need = words.OBSTACLES[obstacle][0]
    tried = _tried(c, need, [tool for tool in words.TOOLS if tool != need], a)
    reason = _reason(c, hero, friend)
    return Story("fetch", hero, friend, relation, weather, time, adjective, thing, place, obstacle, need, tried, reason)


def weather(c: Chooser) -> Story:
    """A plan that asks for a weather, and the weather that comes."""
    _, time, hero = _opening(c, weather=False)
    c.say([" wanted to ", " was hoping to ", " had planned to "])
    plan = c.any(tuple(words.PLANS), show=str)
    place = c.any(tuple(words.OUTDOORS), show=lambda p: f" {at(p)}")
    c.emit(" with ")
    friend, relation = _friend(c, hero)
    c.emit(".")
    c.mark()
    need, _ = words.PLANS[plan]
    others = [(w, told) for w, told_ways in words.WEATHER_TOLD.items() if w != need for told in told_ways]
    c.say([" But ", " But when they met, ", " But all the time "])
    morning = c.any(others, show=lambda pair: f"{pair[1]}.")[0]
    c.mark()
    c.emit(" So they ")
    c.say(["waited and played cards", "drank tea and waited", "sat at the window"])
    c.emit(f" until {words.TIMES[time]}, and then ")
    sky = [(w, told) for w, told_ways in words.WEATHER_TOLD.items() if w != morning for told in told_ways]
    fit, unfit = [pair for pair in sky if pair[0] == need], [pair for pair in sky if pair[0] != need]
    tried = c.any(fit if _yes(c) else unfit, show=lambda pair: f"{pair[1]}.")[0]
    return Story("weather", hero, friend, relation, morning, time, "", plan, place, morning, need, tried)


def trade(c: Chooser) -> Story:
    """A thing that somebody gives away for another one only."""
    weather, time, hero = _opening(c)
    c.say([" met ", " visited "])
    friend, relation = _friend(c, hero)
    place = c.any(tuple(words.PLACES), show=lambda p: f" {at(p)}")
    c.say([" and wished for ", " and wanted to have "])
    c.emit(f"{friend.his} ")
    adjective, thing = _thing(c)
    c.emit(".")
    c.mark()
    c.say(
        [f" But {friend.name} would only swap it for ", f" {friend.name} wanted ", f" In return, {friend.name} wanted "]
    )
    need = c.any([w for w in words.THINGS if w != thing], show=lambda w: f"{a(w)}.")
    c.mark()
    if not _dressed(c, hero, weather, ", "):
        _named(c, hero)
        c.emit(" ")
    c.say(["went home and came back with ", "looked around and found "])
    tried = _tried(c, need, [w for w in words.THINGS if w not in (thing, need)], lambda w: f"{a(w)}.")
    return Story("trade", hero, friend, relation, weather, time, adjective, thing, place, need, need, tried)


def search(c: Chooser) -> Story:
    """A lost thing, and where somebody has seen it."""
    weather, time, hero = _opening(c)
    c.say([" could not find ", " was looking for ", " had lost "])
    c.emit(f"{hero.his} ")
    adjective, thing = _thing(c)
    c.emit(".")
    c.mark()
    c.emit(" ")
    friend, relation = _friend(c, hero, first=True)
    c.say([" had seen it ", f" had seen the {thing} ", " thought that it was "])
    need = c.any(tuple(words.PLACES), show=lambda p: f"{at(p)}.")
    c.mark()
    if not _dressed(c, hero, weather, " and "):
        _named(c, hero)
        c.emit(" ")
    c.say(["looked ", "searched ", "went to look "])
    tried = _tried(c, need, [p for p in words.PLACES if p != need], at)
    c.say([" for an hour.", " at once.", "."])
    return Story("search", hero, friend, relation, weather, time, adjective, thing, need, need, need, tried)


def animal(c: Chooser) -> Story:
    """A shy animal, and something to eat."""
    weather, time, hero = _opening(c)
    c.say([" saw ", " met "])
    kinds = [(a(f"{coat} {kind}"), coat, kind) for kind in words.FOODS for coat in words.COATS]
    _, coat, kind = c.any(kinds, show=lambda k: k[0])
    place = c.any(tuple(words.OUTDOORS), show=lambda p: f" {at(p)}")
    c.say([" and wanted to be its friend.", " and wanted to stroke it."])
    c.mark()
    c.say([f" But the {kind} was shy and hid ", " But it was afraid and sat "])
    hiding = c.any(words.HIDING, show=lambda h: f"{h}.")
    c.mark()
    dressed = _dressed(c, hero, weather, ", and ")
    friend, relation = _friend(c, hero, first=not dressed)
    c.say([f" gave {hero.name} ", f" brought {hero.him} ", " came with "])
    need = words.FOODS[kind]
    tried = _tried(c, need, [food for food in words.FOODS.values() if food != need], str)
    reason = _reason(c, hero, friend)
    return Story("animal", hero, friend, relation, weather, time, coat, kind, place, hiding, need, tried, reason)


PLOTS = (fetch, weather, trade, search, animal)
