"""What all tasks of the story world draw from: its documents, a split at a time, and choices that a seed decides."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

from minigpt.data.storyworld import stream
from minigpt.data.storyworld.engine import Drawing
from minigpt.data.storyworld.facts import Document, Report, Story

T = TypeVar("T")


def key(*words: object) -> int:
    """64 bits that depend on all the words."""
    return int.from_bytes(hashlib.blake2b(repr(words).encode("utf-8"), digest_size=8).digest(), "little")


def choices(*words: object) -> Drawing:
    """A source of choices: `pick(options)` takes one."""
    return Drawing(key(*words))


def shuffled(c: Drawing, items: Sequence[T]) -> list[T]:
    left = list(items)
    return [left.pop(int(c.uniform() * len(left))) for _ in items]


def documents(seed: int, split: str, kind: str, purpose: str) -> Iterator[Document]:
    """Documents of one kind that the world's hash of their text puts into the split.

    A corpus drawn for pretraining keeps to its train split, so nobody has seen those of dev and test.

    Args:
        purpose: every task draws documents of its own.
    """
    return stream(key(seed, purpose, kind), split, kind)


def stories(seed: int, split: str, purpose: str, plots: Sequence[str] = ()) -> Iterator[Story]:
    for document in documents(seed, split, "story", purpose):
        if not plots or document.facts.plot in plots:
            yield document.facts


def reports(seed: int, split: str, purpose: str) -> Iterator[Report]:
    for document in documents(seed, split, "question", purpose):
        if isinstance(document.facts.source, Report):
            yield document.facts.source


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
