"""Reviews: what somebody thinks of a hotel, a lamp or a film, aspect by aspect, and a verdict that follows.

An aspect may be praised by denying its fault ("the room was not dirty"), and one may disagree with the whole, in a
clause with "although". Both are rare enough that counting words goes a long way, and frequent enough that it does not
go all the way.
"""

from __future__ import annotations

from typing import NamedTuple

from minigpt.data.storyworld.engine import Chooser
from minigpt.data.storyworld.facts import Review


class Sort(NamedTuple):
    """What there is to say of one sort of subjects. All sorts have equally many of everything."""

    subjects: tuple[str, ...]
    openings: tuple[str, ...]  # with the subject for {}
    aspects: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]  # words that praise it, words that do not


SORTS = (
    Sort(
        ("hotel", "inn", "restaurant", "museum", "theatre", "zoo"),
        ("We visited this {} last week.", "My aunt took me to this {}.", "I went to this {} with my brother."),
        {
            "staff": (("friendly", "helpful"), ("rude", "lazy")),
            "room": (("clean", "bright"), ("dirty", "dark")),
            "food": (("fresh", "tasty"), ("stale", "cold")),
            "price": (("fair", "low"), ("unfair", "high")),
            "garden": (("pretty", "quiet"), ("ugly", "noisy")),
        },
    ),
    Sort(
        ("lamp", "radio", "chair", "tent", "kettle", "bicycle"),
        ("I bought this {} last week.", "My uncle gave me this {}.", "We have had this {} for a year."),
        {
            "colour": (("pretty", "bright"), ("ugly", "dull")),
            "handle": (("strong", "solid"), ("weak", "loose")),
            "price": (("fair", "low"), ("unfair", "high")),
            "sound": (("soft", "pleasant"), ("loud", "unpleasant")),
            "shape": (("clever", "handy"), ("silly", "clumsy")),
        },
    ),
    Sort(
        ("book", "film", "song", "play", "poem", "opera"),
        ("I came to know this {} last week.", "My teacher told me of this {}.", "We chose this {} by chance."),
        {
            "beginning": (("exciting", "clever"), ("boring", "silly")),
            "ending": (("surprising", "moving"), ("weak", "dull")),
            "hero": (("brave", "charming"), ("cowardly", "rude")),
            "language": (("rich", "clear"), ("poor", "muddy")),
            "title": (("witty", "pretty"), ("ugly", "clumsy")),
        },
    ),
)
FORMS = {"one": 0.5, "and": 0.4, "although": 0.1}  # of sentences that judge: how many aspects, and how they are joined
DENIED = 0.1  # how often an aspect is judged by what it is not
PRAISE, BLAME = ("good", "great", "lovely"), ("bad", "awful", "terrible")  # of any aspect, as often as its own words
DEGREES = ("very ", "really ", "quite ", "")
VERDICTS = (
    ("This review is very positive.", "This review is very negative."),
    ("All in all, it was very good.", "All in all, it was very bad."),
    ("In short, very positive.", "In short, very negative."),
    ("I liked it very much.", "I did not like it very much."),
)


def review(c: Chooser) -> Review:
    """A first sentence that does not judge, two that do, and the verdict."""
    sort = c.any(SORTS)
    subject = c.any(sort.subjects)
    c.say([opening.format(subject) for opening in sort.openings])
    c.mark()
    positive = c.pick((True, False))
    left = _sentence(c, sort, tuple(sort.aspects), positive)
    _sentence(c, sort, left, positive)
    c.emit(" ")
    c.say([verdict[0 if positive else 1] for verdict in VERDICTS])
    c.mark()
    return Review(subject, positive)


def _sentence(c: Chooser, sort: Sort, left: tuple[str, ...], positive: bool) -> tuple[str, ...]:
    """Judge one aspect or two; those not judged yet are left."""
    form = c.pick(tuple(FORMS), tuple(FORMS.values()))
    if form != "one":
        c.emit(" The " if form == "and" else " Although the ")
        left = _judge(c, sort, left, positive if form == "and" else not positive)
        c.emit(" and the " if form == "and" else ", the ")
    else:
        c.emit(" The ")
    left = _judge(c, sort, left, positive)
    c.emit(".")
    c.mark()
    return left


def _judge(c: Chooser, sort: Sort, left: tuple[str, ...], positive: bool) -> tuple[str, ...]:
    """ "staff was very friendly" """
    aspect = c.any(left, show=lambda name: f"{name} was ")
    praise, blame = c.pick(((PRAISE, BLAME), sort.aspects[aspect]))
    same, other = (praise, blame) if positive else (blame, praise)
    said = [degree + word for degree in DEGREES for word in same]
    denied = [f"not {word}" for word in other]
    c.say(said + denied, [(1 - DENIED) / len(said)] * len(said) + [DENIED / len(denied)] * len(denied))
    c.note((aspect, positive))
    return tuple(name for name in left if name != aspect)
