"""Story Cloze: which of two endings belongs to a story.

Both endings are told in the same words, but for those that say whether it ended well; and the same pair is offered for
stories that end well and for stories that end badly, so neither can be told from the ending alone. Where the fourth
sentence says what came of it, words of it might give the right ending away ("could not get" beside "did not have");
such pairs are left out. What remains asks whether what came is what was needed.
"""

from __future__ import annotations

from collections.abc import Iterator

from minigpt.data.storyworld import endings, engine
from minigpt.data.storyworld.facts import Story
from minigpt.data.storyworld.rendering import ending, opposite
from minigpt.tasks.examples import MultipleChoice
from minigpt.tasks.world.drawing import choices, stories, words


def story_cloze(seed: int, split: str) -> Iterator[MultipleChoice]:
    c = choices(seed, split, "story-cloze")
    for begun, right, wrong in two_endings(seed, split, "story-cloze"):
        label = c.pick((0, 1))
        yield MultipleChoice(begun, "", (wrong, right) if label else (right, wrong), label)


def two_endings(seed: int, split: str, purpose: str) -> Iterator[tuple[str, str, str]]:
    """Stories without their last sentence, with a right one and a wrong one."""
    c = choices(seed, split, purpose, "wording")
    for story in stories(seed, split, purpose):
        wording = c.pick(range(1 << 32))
        right, wrong = ending(story, wording), ending(opposite(story), wording)
        if outcome_is_hidden(story, right, wrong):
            yield " ".join(story.sentences[:4]), right, wrong


def outcome_is_hidden(story: Story, one: str, other: str) -> bool:
    """Whether none of the words that tell two texts apart stands in the story for its outcome's sake.

    That is, had it ended the other way, told in the same words, the same of them would stand in it.
    """
    contrast = words(one) ^ words(other)
    return not contrast & (words(story.sentences[3]) ^ words(_other_fourth(story))) and not contrast & words(
        f"{story.tried} {opposite(story).tried}"
    )


def _other_fourth(story: Story) -> str:
    """The fourth sentence as it would have been: of the wordings for the other outcome, that in the same place."""
    here, there = ([text.strip() for text, _, _ in _wordings(s)] for s in (story, opposite(story)))
    return there[here.index(story.sentences[3])]


def _wordings(story: Story) -> Iterator[tuple[str, float, Story]]:
    return engine.outcomes(endings.consequence, story)
