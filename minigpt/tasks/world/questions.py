"""Questions about texts: RACE (four options), SQuAD (the answer's place), LAMBADA (the last word)."""

from __future__ import annotations

from collections.abc import Iterator

from minigpt.data.storyworld.engine import Drawing
from minigpt.data.storyworld.facts import Question, Report, Story
from minigpt.tasks.examples import LastWord, MultipleChoice, Span
from minigpt.tasks.world.drawing import choices, documents, reports, shuffled, stories, words

PER_ARTICLE = 3


def race(seed: int, split: str) -> Iterator[MultipleChoice]:
    """Two reports make an article; all options are people, things or places of it. Some questions have a blank."""
    c = choices(seed, split, "race")
    told = reports(seed, split, "race")
    for one, two in zip(told, told, strict=False):
        both = Report((*one.events, *two.events))
        people = [person.name for report in (one, two) for person in report.people[:2]]
        if len(set(people)) < 4 or len(both.things) < 4 or len(both.places) != len(one.places) + len(two.places):
            continue
        article = "\n".join(" ".join(report.sentences) for report in (one, two))
        for thing in shuffled(c, both.things)[:PER_ARTICLE]:
            yield _question(c, article, both, thing, people)


def _question(c: Drawing, article: str, both: Report, thing: str, people: list[str]) -> MultipleChoice:
    place, owner = both.place(thing), both.owner(thing).name
    kinds = ["where", "who", *(["what"] if [both.place(t) for t in both.things].count(place) == 1 else [])]
    asked = c.pick(kinds)
    answer, others, questions = {
        "where": (place, both.places, (f"Where is the {thing} now?", f"In the end, the {thing} is at the _ .")),
        "who": (owner, people, (f"Who has the {thing} now?", f"In the end, _ has the {thing}.")),
        "what": (thing, both.things, (f"What is at the {place} now?", f"In the end, the _ is at the {place}.")),
    }[asked]
    options = shuffled(c, [answer, *shuffled(c, [other for other in others if other != answer])[:3]])
    return MultipleChoice(article, c.pick(questions), tuple(options), options.index(answer))


def squad(seed: int, split: str) -> Iterator[Span]:
    """The world's own questions whose answers stand in the text; of a thing that was moved, the last place counts."""
    c = choices(seed, split, "squad")
    sources = [documents(seed, split, kind, "squad") for kind in ("question", "reading")]
    number = 0
    while True:
        found = _place(next(c.pick(sources)).facts)
        if found is not None:
            question, context, answer, start = found
            number += 1
            yield Span(f"{split}-{number:05d}", question, context, ((answer, start),), False)


def _place(q: Question) -> tuple[str, str, str, int] | None:
    """The question, the text, the answer as it stands there, and where."""
    if isinstance(q.source, Story):
        # What came is told in the third sentence, and "the ladder" of the answer is "a ladder" there.
        answer, order = q.answer.removeprefix("the "), (2, 0, 1, 3, 4) if q.asked in ("who", "what") else ()
        about = words(q.answer)
    else:
        # The last sentence counts that says it of the thing or place that is asked for.
        answer, order = q.answer, range(len(q.sentences) - 1, -1, -1)
        about = words(q.question) & {*q.source.things, *q.source.places}
    for i in order:
        if answer in q.sentences[i] and about & words(q.sentences[i]):
            start = sum(len(sentence) + 1 for sentence in q.sentences[:i]) + q.sentences[i].index(answer)
            return q.question, " ".join(q.sentences), answer, start
    return None


def lambada(seed: int, split: str) -> Iterator[LastWord]:
    """Stories cut off before a word that was there before and that only the story tells: a thing, a tool, a name."""
    c = choices(seed, split, "lambada")
    for story in stories(seed, split, "lambada"):
        cuts = _cuts(story)
        if cuts:
            yield c.pick(cuts)


def _cuts(story: Story) -> list[LastWord]:
    """Where the last two sentences name what is known: after an article, an adjective, "to", or what a friend is."""
    before, end = " ".join(story.sentences[:3]).split(" "), " ".join(story.sentences[3:]).split(" ")
    known = {word.strip(".,") for word in before}
    targets = {story.thing.split()[-1], story.tried.split()[-1], story.friend.name, story.place} & known
    ties = {"the", "to", story.adjective, story.relation} - {""}
    return [
        LastWord(" ".join([*before, *end[:i]]), end[i].strip(".,"))
        for i in range(1, len(end))
        if end[i].strip(".,") in targets and end[i - 1] in ties
    ]
