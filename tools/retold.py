"""Text that teaches a model to look things up: who carried what where. Three stages, each with less help.

    python -m tools.retold words words.txt               # some words in any order, and the same again and again
    python -m tools.retold tables tables.txt --seed 3    # "kite barn. drum attic.", and again in any order
    python -m tools.retold reports reports.txt           # reports, told again and asked about (half of the documents)

In a list of words that comes again, nothing is left to chance for a model that finds the last place where a word stood
and goes on from there. Every later stage needs that circuit; reports alone, where few tokens can be looked up, do not
bring it about. Half of the third text are documents of the first two. The others are people who carry things to
places, a report of the story world (its train split), or two of them in a row. Events are told again in other words;
of the latter two there are also states, the world's own questions and claims, and claims about what happened, which are
false with another event's person, thing or place.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from minigpt.core.files import write_atomically
from minigpt.data.storyworld import lexicon, split_of, stream
from minigpt.data.storyworld.engine import Drawing, draw
from minigpt.data.storyworld.english import at
from minigpt.data.storyworld.facts import Event, Report
from minigpt.data.storyworld.questions import _about_report, report_question
from minigpt.tasks.world.drawing import choices, shuffled

WORDS = 76  # of a document: these and their full stops fit a context of 128
_SEEDS = range(1 << 40)
_ALL = (*(person.name for person in lexicon.PEOPLE), *lexicon.THINGS, *lexicon.PLACES)


def retold(c: Drawing, e: Event) -> str:
    """One event in other words."""
    if e.other is not None:
        active, passive = f"{e.person.name} gave the {e.thing} to {e.other.name}", f"given to {e.other.name}"
    else:
        to = f"to the {e.place}"
        active = f"{e.person.name} {c.pick(('took', 'carried', 'brought'))} the {e.thing} {to}"
        passive = f"{c.pick(('taken', 'carried', 'brought'))} {to}"
    return f"{active}." if c.pick((True, False), (2, 1)) else f"The {e.thing} was {passive} by {e.person.name}."


def state(c: Drawing, r: Report) -> str:
    thing = c.pick(r.things)
    return (
        f"The {thing} is {at(r.place(thing))}." if c.pick((True, False)) else f"{r.owner(thing).name} has the {thing}."
    )


def question(c: Drawing, r: Report) -> str:
    _, asked, answer = draw(lambda d: report_question(d, r), c.pick(_SEEDS)).value
    return f"\nQ: {asked}\nA: {answer}\n"


def claim(c: Drawing, r: Report) -> str:
    """The world's own about the end, or about an event: with the person, thing or place of another, it is false."""
    made = draw(lambda d: _about_report(d, r), c.pick(_SEEDS))
    text, true = made.text, made.value
    if c.pick((True, False)):
        true, e, other = c.pick((True, False)), *shuffled(c, [e for e in r.events if e.other is None])[:2]
        part = c.pick(("person", "thing", "place"))
        told = e if true else e._replace(**{part: getattr(other, part)})
        true = any(told == event for event in r.events)
        text = retold(c, told)
    return f"\nquestion: {text} True or False?\nanswer: {true}\n"


def _carried(c: Drawing) -> Report:
    """Two to four people carry as many things to as many places."""
    count = c.pick((2, 3, 4))
    parts = (shuffled(c, x)[:count] for x in (lexicon.PEOPLE, lexicon.THINGS, tuple(lexicon.PLACES)))
    events = tuple(Event("take", *facts) for facts in zip(*parts, strict=True))
    verbs = ("took", "carried", "brought")
    return Report(events, tuple(f"{e.person.name} {c.pick(verbs)} the {e.thing} to the {e.place}." for e in events))


def words(c: Drawing) -> str:
    """Words in any order, and the same words again until the document is full."""
    said = [c.pick(_ALL) for _ in range(c.pick(range(15, 41)))]
    return " ".join((said * 8)[: WORDS + 10])


def table(c: Drawing) -> str:
    """Where three or four things are, and again in any order: "kite barn. drum attic." or "kite to the barn. ..."."""
    count, between = c.pick((3, 4)), c.pick((" ", " to the "))
    things, places = (shuffled(c, x)[:count] for x in (lexicon.THINGS, tuple(lexicon.PLACES)))
    lines = [f"{thing}{between}{place}." for thing, place in zip(things, places, strict=True)]
    size = (WORDS - 20) // len(lines[0].split())
    return " ".join([*lines, *(c.pick(lines) for _ in range(size - count))])


def repeated(seed: int) -> Iterator[str]:
    """Words alone, without end."""
    c = choices(seed, "drills")
    while True:
        yield words(c)


def tables(seed: int) -> Iterator[str]:
    """Three tables to a list of words, without end."""
    c = choices(seed, "tables")
    while True:
        yield (table if c.pick((True, True, True, False)) else words)(c)


def reports(seed: int) -> Iterator[str]:
    """As many drills as reports, without end."""
    c, world = choices(seed, "retold"), stream(seed, "train", "question")
    while True:
        drill = c.pick((words, table, None), (1, 1, 2))
        if drill is not None:
            yield drill(c)
            continue
        kind = c.pick(("carried", "report", "two"), (2, 2, 1))
        told = (
            (_carried(c),) if kind == "carried" else tuple(next(world).facts.source for _ in range(1 + (kind == "two")))
        )
        if _apart(told) and (kind != "carried" or _to_learn_from(told[0])):
            yield _document(c, told, _again if kind == "carried" else _mixed)


def claims(seed: int) -> Iterator[str]:
    """Reports, six in ten of whose lines are claims, without end."""
    c, world = choices(seed, "claims"), stream(seed, "train", "question")
    while True:
        carried = c.pick((True, False))
        report = _carried(c) if carried else next(world).facts.source
        if not carried or _to_learn_from(report):
            yield _document(c, (report,), _mostly_claims)


def _to_learn_from(r: Report) -> bool:
    """By the world's hash, as of its documents."""
    return split_of(" ".join(r.sentences)) == "train"


def _apart(told: tuple[Report, ...]) -> bool:
    """Whether no person, thing or place stands in two reports."""
    mentioned = [word for r in told for word in (*r.people, *r.things, *r.places)]
    return len(set(mentioned)) == len(mentioned)


def _again(c: Drawing, r: Report) -> str:
    return retold(c, c.pick(r.events))


def _mixed(c: Drawing, r: Report) -> str:
    line = c.pick((True, True, False))
    return c.pick((state, question, claim), (1, 2, 2))(c, r) if line else _again(c, r)


def _mostly_claims(c: Drawing, r: Report) -> str:
    return c.pick((state, question, claim, _again), (1, 1, 6, 2))(c, r)


def _document(c: Drawing, told: tuple[Report, ...], line: Callable[[Drawing, Report], str]) -> str:
    """The reports, and lines about them until the document is full."""
    both = Report(tuple(event for r in told for event in r.events))
    parts = ["\n".join(" ".join(r.sentences) for r in told)]
    while sum(len(part.split()) for part in parts) < WORDS:
        parts.append(line(c, both))
    return "\n".join(text.strip() for text in " ".join(parts).split("\n") if text.strip())


STAGES = {"words": (repeated, 20000), "tables": (tables, 20000), "reports": (reports, 60000), "claims": (claims, 40000)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.retold", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("stage", choices=sorted(STAGES))
    parser.add_argument("file", type=Path)
    parser.add_argument("--documents", type=int, help="default: 20000; reports 60000, claims 40000")
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args(arguments)
    made, count = STAGES[args.stage]
    write_atomically(args.file, "\n\n".join(islice(made(args.seed), args.documents or count)) + "\n")


if __name__ == "__main__":
    main()
