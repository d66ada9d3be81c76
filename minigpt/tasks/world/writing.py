"""Sentiment, summaries and translations: what the documents of the story world hold by themselves."""

from __future__ import annotations

from collections.abc import Iterator

from minigpt.tasks.examples import Classification, Summary, Translation
from minigpt.tasks.world.drawing import documents


def sst2(seed: int, split: str) -> Iterator[Classification]:
    """Reviews without their verdict."""
    for document in documents(seed, split, "review", "sst2"):
        yield Classification(" ".join(document.facts.sentences[:-1]), None, int(document.facts.positive))


def cnn_dm(seed: int, split: str) -> Iterator[Summary]:
    """Two stories as an article, and the summary of each as a highlight."""
    told = (document.facts for document in documents(seed, split, "summary", "cnn-dm"))
    for one, two in zip(told, told, strict=False):
        article = "\n".join(" ".join(facts.story.sentences) for facts in (one, two))
        yield Summary(article, f"{one.summary}\n{two.summary}")


def translation(seed: int, split: str) -> Iterator[Translation]:
    """Sentences, and the same in the invented language."""
    for document in documents(seed, split, "translation", "translation"):
        for pair in document.facts.pairs:
            yield Translation(pair.english, pair.invented)
