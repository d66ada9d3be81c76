"""What is decided when a document is drawn: one NamedTuple for each kind of document.

Whatever the text says follows from these facts, and every rendering function takes them, also changed ones: the ending
of `story._replace(tried=story.need)` is that of the same story gone well. Tasks (Story Cloze, entailment, questions, …)
are made from them.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Person(NamedTuple):
    """Somebody with a name; the pronouns follow."""

    name: str
    female: bool

    @property
    def he(self) -> str:
        return "she" if self.female else "he"

    @property
    def him(self) -> str:
        return "her" if self.female else "him"

    @property
    def his(self) -> str:
        return "her" if self.female else "his"

    @property
    def self(self) -> str:
        return "herself" if self.female else "himself"


class Story(NamedTuple):
    """A story of five sentences: a wish, an obstacle, an action, a consequence and a feeling.

    One law holds in every plot: it ends well if and only if what came (`tried`) is what was needed (`need`). In two
    plots the need is said in the second sentence, in three it has to be known (a tree asks for a ladder, a snowman for
    snow, a rabbit for a carrot). Whatever the rest, each is equally probable.

    Attributes:
        plot: "fetch" (a thing out of reach and a tool), "weather" (a plan and what the sky does), "trade" (a thing for
            another one), "search" (a lost thing and where somebody saw it), "animal" (a shy animal and food).
        hero, friend: the two people; pronouns that could be either's mean the hero, but see `reason`.
        relation: what the friend is to the hero: "brother", "aunt", "neighbour", …
        weather: "rain", "sun", "wind" or "snow" where the first sentence tells it, else "". It comes back as what the
            hero puts on. (In the plot "weather" it is that of the morning, told in the second sentence.)
        time: "morning", "afternoon" or "evening", when the story begins.
        adjective, thing: what is wished for: "red", "kite". In the plot "animal" the animal ("grey", "rabbit"), in
            "weather" the plan ("", "fly a kite").
        place: where it is: "garden", "barn", …
        obstacle: what is in the way. "fetch": a key of `lexicon.OBSTACLES` ("tree", "river", …); "trade" and "search":
            what is needed, as in `need`; "animal": where the animal hides; "weather": the morning's weather.
        need: what would help: a tool, a weather, a thing, a place, a food.
        tried: what was brought, came, or was searched.
        reason: whose pronoun stands in the clause that gives a reason, "hero" or "friend"; "" if there is none.
        told: whether the fourth sentence says what came of it; if not, only the first three do.
        feeling: the word for how the hero feels, or what the hero does ("smiled").
        sentences: the five sentences.
    """

    plot: str
    hero: Person
    friend: Person
    relation: str
    weather: str
    time: str
    adjective: str
    thing: str
    place: str
    obstacle: str
    need: str
    tried: str
    reason: str = ""
    told: bool = True
    feeling: str = ""
    sentences: tuple[str, ...] = ()

    @property
    def success(self) -> bool:
        return self.need == self.tried

    def completed(self, sentences: tuple[str, ...], notes: tuple[Any, ...]) -> Story:
        """These facts with the sentences of their text."""
        return self._replace(sentences=sentences)


class Review(NamedTuple):
    """A review of a thing or a place.

    Attributes:
        subject: what is reviewed: "lamp", "hotel", "film", …
        positive: what the reviewer thinks of it in all.
        aspects: the (aspect, positive) pairs in order; where one disagrees with the whole it is in a clause with
            "although".
        verdict: the last sentence, which says it: "This review is very positive."
        sentences: all sentences, the verdict with them.
    """

    subject: str
    positive: bool
    aspects: tuple[tuple[str, bool], ...] = ()
    verdict: str = ""
    sentences: tuple[str, ...] = ()

    def completed(self, sentences: tuple[str, ...], notes: tuple[Any, ...]) -> Review:
        return self._replace(aspects=notes, verdict=sentences[-1], sentences=sentences)


class Event(NamedTuple):
    """One sentence of a report.

    Attributes:
        action: "take" (the person took the thing to the place) or "give" (the person gave the thing to `other`).
    """

    action: str
    person: Person
    thing: str
    place: str = ""
    other: Person | None = None


class Report(NamedTuple):
    """Who carried which thing where, in two to four sentences.

    Attributes:
        events: what happened, in order.
        sentences: one for each event.
    """

    events: tuple[Event, ...]
    sentences: tuple[str, ...] = ()

    @property
    def things(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(event.thing for event in self.events))

    @property
    def people(self) -> tuple[Person, ...]:
        return tuple(dict.fromkeys(event.person for event in self.events))

    @property
    def places(self) -> tuple[str, ...]:
        """All that are mentioned."""
        return tuple(dict.fromkeys(event.place for event in self.events if event.place))

    def place(self, thing: str) -> str:
        """Where the thing is in the end."""
        return [event.place for event in self.events if event.thing == thing and event.place][-1]

    def owner(self, thing: str) -> Person:
        """Who has the thing in the end."""
        last = [event for event in self.events if event.thing == thing][-1]
        return last.other or last.person


class Question(NamedTuple):
    """A text and a question about it.

    Attributes:
        source: the facts of the text.
        question, answer: as they stand in the text. An answer is "yes", "no", or a piece of the text.
        asked: what kind of question it is: "where", "who", "what", "whether".
        sentences: of the text alone.
    """

    source: Report | Story
    question: str
    answer: str
    asked: str
    sentences: tuple[str, ...] = ()

    def completed(self, sentences: tuple[str, ...], notes: tuple[Any, ...]) -> Question:
        return self._replace(source=self.source._replace(sentences=sentences), sentences=sentences)


class Claim(NamedTuple):
    """A report, or a story without its last sentence, and a claim that follows from it or contradicts it.

    Attributes:
        source: the facts of the text.
        true: whether the claim follows.
        claim: a sentence; of a story, a last one.
        sentences: of the text alone.
    """

    source: Report | Story
    true: bool
    claim: str = ""
    sentences: tuple[str, ...] = ()

    def completed(self, sentences: tuple[str, ...], notes: tuple[Any, ...]) -> Claim:
        *told, asked = sentences
        source = self.source._replace(sentences=tuple(told))
        return self._replace(source=source, claim=asked.removeprefix("question: "), sentences=tuple(told))


class LabelledList(NamedTuple):
    """Examples with labels that mean something in this list alone.

    Attributes:
        labels: the (kind, label) pairs, in the order in which the kinds first come.
        classes: the kind of each example.
        examples: the (word, label) pairs.
    """

    labels: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()

    def completed(self, sentences: tuple[str, ...], notes: tuple[Any, ...]) -> LabelledList:
        examples = [tuple(line.split(": ")) for line in sentences]
        classes = tuple(kind for kind, _ in notes)
        return self._replace(labels=tuple(dict.fromkeys(notes)), classes=classes, examples=tuple(examples))


class Summarised(NamedTuple):
    """A story and its summary in one sentence, after "TL;DR:"."""

    story: Story
    summary: str

    def completed(self, sentences: tuple[str, ...], notes: tuple[Any, ...]) -> Summarised:
        return self._replace(story=self.story._replace(sentences=sentences))


class Pair(NamedTuple):
    """An English sentence and the same in the invented language."""

    english: str
    invented: str


class Translations(NamedTuple):
    """Lines `english = invented`."""

    pairs: tuple[Pair, ...] = ()

    def completed(self, sentences: tuple[str, ...], notes: tuple[Any, ...]) -> Translations:
        return Translations(tuple(Pair(*line.split(" = ")) for line in sentences))


Facts = Story | Review | Question | Claim | LabelledList | Summarised | Translations


class Document(NamedTuple):
    """A text with its kind, the facts behind it, and the logarithm of its probability among all documents (nats)."""

    text: str
    kind: str
    facts: Facts
    log_p: float
