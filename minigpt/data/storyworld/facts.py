"""What is decided when a document is drawn: one NamedTuple for each kind of document.

Whatever the text says follows from these facts, and every rendering function takes them, also changed ones: the ending
of `story._replace(tried=story.need)` is that of the same story gone well. Tasks (Story Cloze, entailment, questions, …)
are made from them.
"""

from __future__ import annotations

from typing import NamedTuple


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


class Review(NamedTuple):
    """A review of a thing or a place.

    Attributes:
        subject: what is reviewed: "lamp", "soup", …
        positive: what the reviewer thinks of it in all.
        aspects: the (aspect, positive) pairs in order; one may disagree with the whole, in a clause that concedes it.
        verdict: the last sentence, which says it: "This review is very positive."
        sentences: all sentences, the verdict with them.
    """

    subject: str
    positive: bool
    aspects: tuple[tuple[str, bool], ...]
    verdict: str = ""
    sentences: tuple[str, ...] = ()


class Event(NamedTuple):
    """One sentence of a short report.

    Attributes:
        action: "take" (person took the thing to the place) or "give" (person gave the thing to `other`).
    """

    action: str
    person: Person
    thing: str
    place: str = ""
    other: Person | None = None


class Report(NamedTuple):
    """A short text about people who carry things about, and one question or claim about how it stands at its end.

    Attributes:
        events: what happened, in order; the last word on a thing is where it is and who has it.
        asked: "where" (is the thing), "who" (has it), "what" (has the person).
        thing, person: what or whom the question is about.
        question, answer: as they stand in the text; for a claim the claim and "True" or "False".
        sentences: of the text alone, without the question.
    """

    events: tuple[Event, ...]
    asked: str
    thing: str
    person: Person | None
    question: str
    answer: str
    sentences: tuple[str, ...] = ()


class LabelledList(NamedTuple):
    """Examples with labels that mean something only in this list.

    Attributes:
        rule: what decides the label: a key of `lexicon` categories, such as "kinds" or "opinions".
        classes: the class of each example.
        labels: {class: label} as pairs, in the order in which they first come.
        examples: the (input, label) pairs.
        arrow: what stands between input and label.
    """

    rule: str
    classes: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    examples: tuple[tuple[str, str], ...]
    arrow: str


class Summarised(NamedTuple):
    """A story and its summary of one sentence, after "TL;DR:"."""

    story: Story
    summary: str


class Pair(NamedTuple):
    """An English sentence and the same in the invented language."""

    english: str
    invented: str


class Translations(NamedTuple):
    """Lines `english = invented`."""

    pairs: tuple[Pair, ...]


class Document(NamedTuple):
    """A text with its kind, the facts behind it, and the logarithm of its probability among all documents (nats)."""

    text: str
    kind: str
    facts: Story | Review | Report | LabelledList | Summarised | Translations
    log_p: float
