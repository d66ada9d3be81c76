"""All kinds of documents: drawing them one by one, the probability of a text, the splits, streams of any length."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator
from typing import Any

from minigpt.core.errors import UserError
from minigpt.data.storyworld import engine
from minigpt.data.storyworld.engine import Chooser, Derivation
from minigpt.data.storyworld.facts import Document
from minigpt.data.storyworld.lists import labelled_list
from minigpt.data.storyworld.questions import claim, question, reading
from minigpt.data.storyworld.reviews import review
from minigpt.data.storyworld.stories import story
from minigpt.data.storyworld.summaries import summarised
from minigpt.data.storyworld.translations import translations

# Every kind's program and how many of a hundred documents are of it.
PROGRAMS = {
    "story": story,
    "summary": summarised,
    "reading": reading,
    "review": review,
    "question": question,
    "claim": claim,
    "list": labelled_list,
    "translation": translations,
}
SHARES = {
    "story": 44,
    "summary": 9,
    "reading": 9,
    "review": 13,
    "question": 6,
    "claim": 6,
    "list": 9,
    "translation": 4,
}

SPLITS = {"train": 0.9, "dev": 0.05, "test": 0.05}


def world(c: Chooser) -> tuple[str, Any]:
    """The program of the whole language: which kind, and a document of it."""
    kind = c.pick(tuple(SHARES), tuple(SHARES.values()))
    return kind, PROGRAMS[kind](c)


def document(seed: int, index: int, kind: str | None = None) -> Document:
    """Document number `index` of the endless list that `seed` stands for: a pure function of its arguments.

    Args:
        kind: of this kind; by default each kind comes as often as `SHARES` says.
    """
    key = engine.mix(engine.mix(seed) + index)
    if kind is not None and kind not in PROGRAMS:
        raise UserError(f"the story world has no documents of the kind {kind!r}; its kinds are {', '.join(PROGRAMS)}")
    if kind is None:
        return _document(engine.draw(world, key))
    d = engine.draw(PROGRAMS[kind], engine.mix(key + 1 + tuple(PROGRAMS).index(kind)))
    return _document(d._replace(value=(kind, d.value), log_p=d.log_p + math.log(share(kind))))


def _document(d: Derivation) -> Document:
    kind, facts = d.value
    return Document(d.text, kind, facts.completed(d.sentences, d.notes), d.log_p)


def share(kind: str) -> float:
    """How probable it is that a document is of this kind."""
    return SHARES[kind] / sum(SHARES.values())


def parse(text: str) -> list[Document]:
    """All derivations of a text: there is one, or none if it is not of this world."""
    return [_document(d) for d in engine.parse(world, text)]


def derivations(text: str) -> int:
    """In how many ways the world can write this text: 1 or 0."""
    return len(engine.parse(world, text))


def log_probability(text: str) -> float:
    """log p of a document among all documents, in nats.

    Raises:
        UserError: the story world cannot write this text.
    """
    found = engine.parse(world, text)
    if not found:
        raise UserError(f"this is no document of the story world: {text[:60]!r}{'…' if len(text) > 60 else ''}")
    return math.log(math.fsum(math.exp(p.log_p) for p in found))


def split_of(text: str) -> str:
    """ "train", "dev" or "test": by a hash of the text, so that a text that comes twice is in one of them only."""
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
    place = int.from_bytes(digest, "little") / 2**64
    for split, fraction in SPLITS.items():
        place -= fraction
        if place < 0:
            return split
    return split


def stream(seed: int, split: str | None = None, kind: str | None = None, start: int = 0) -> Iterator[Document]:
    """The documents from number `start` on, without end; those of one split or kind where one is named."""
    if split is not None and split not in SPLITS:
        raise UserError(f"the story world has no split {split!r}; its splits are {', '.join(SPLITS)}")
    for index in itertools.count(start):
        one = document(seed, index, kind)
        if split is None or split_of(one.text) == split:
            yield one
