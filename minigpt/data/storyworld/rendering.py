"""Texts from facts, also from changed ones: what tasks are made of.

ending(story), ending(opposite(story))      a right ending and a wrong one
pronoun(story)                              the place of a pronoun that could be either's by its form
summaries.summary(story)                    the story in one sentence
questions.story_question(story, asked)      a question and its answer
language.translate(text), language.understand(text), language.english(clause)
"""

from __future__ import annotations

from typing import NamedTuple

from minigpt.data.storyworld import endings, engine
from minigpt.data.storyworld import lexicon as words
from minigpt.data.storyworld.facts import Story

_ALTERNATIVES = {
    "fetch": words.TOOLS,
    "weather": tuple(words.WEATHER_TOLD),
    "trade": words.THINGS,
    "search": tuple(words.PLACES),
    "animal": tuple(words.FOODS.values()),
}


def ending(story: Story, key: int = 0) -> str:
    """A fifth sentence that follows from the facts; which wording it has depends on the key."""
    return engine.draw(endings.ending, key, story).text.strip()


def all_endings(story: Story) -> tuple[str, ...]:
    """All fifth sentences that follow from the facts."""
    return tuple(text.strip() for text, _, _ in engine.outcomes(endings.ending, story))


def opposite(story: Story) -> Story:
    """The story as it would have been had it ended the other way: what was needed comes, or something else.

    Its fourth and fifth sentences contradict those of the story; the others do not fit it, and are left out.
    """
    return story._replace(tried=_other(story) if story.success else story.need, sentences=(), feeling="")


def _other(story: Story) -> str:
    """Something that might have come, was not needed, and is not wished for."""
    taken = (story.need, story.tried, story.thing, story.weather if story.plot == "weather" else "")
    return next(one for one in _ALTERNATIVES[story.plot] if one not in taken)


class PronounPlace(NamedTuple):
    """`before` + `pronoun` + `after` is the text; `candidates[label]` is meant."""

    before: str
    pronoun: str
    after: str
    candidates: tuple[str, str]
    label: int


def pronoun(story: Story) -> PronounPlace | None:
    """The pronoun in the clause that says why the friend helps, if hero and friend are both "he" or both "she".

    Only the sense tells whom it means: it is the friend who "wanted to help", the hero who "had asked for help".
    """
    if not story.reason or story.hero.female != story.friend.female:
        return None
    text = " ".join(story.sentences[:3])
    at_ = text.index(", because ") + len(", because ")
    he = story.hero.he
    candidates = (story.friend.name, story.hero.name)
    return PronounPlace(text[:at_], he, text[at_ + len(he) :], candidates, 0 if story.reason == "friend" else 1)
