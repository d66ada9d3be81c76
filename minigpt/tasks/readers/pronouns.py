"""Pronouns and whom they stand for: Rahman and Ng's DPRD, and the Winograd schemas."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from minigpt.tasks.examples import Pronoun
from minigpt.tasks.files import Row, find, lines
from minigpt.tasks.readers.xml import Element, elements


def read_dprd(folder: Path, split: str) -> list[Pronoun]:
    """Blocks of five lines: the sentence, the pronoun, both candidates with a comma between, the answer, nothing.

    Where the pronoun stands several times in the sentence, its first place is meant (say the authors).
    """
    path = find(folder, split, [f"{split}.c.txt"], ["dprd", "DPRD"])
    rows = (Row(path, number, (line.strip(),)) for number, line in lines(path))
    blocks = itertools.groupby(rows, key=lambda row: row.fields != ("",))
    return [_dprd_example(list(block)) for has_text, block in blocks if has_text]


def _dprd_example(block: list[Row]) -> Pronoun:
    if len(block) != 4:
        raise block[0].error(f"a block has {len(block)} lines here instead of sentence, pronoun, candidates and answer")
    sentence, pronoun, candidates, answer = (row.fields[0] for row in block)
    names = tuple(name.strip() for name in candidates.split(","))
    if len(names) != 2 or "" in names:
        raise block[2].error(f"there should be two candidates with a comma between them, and there is {candidates!r}")
    label = block[3].choice(_plain(answer), [_plain(name) for name in names], "answer")
    start = _place(sentence, pronoun, block[1])
    end = start + len(pronoun)
    return Pronoun(sentence[:start], sentence[start:end], sentence[end:], names, label)


def _place(sentence: str, pronoun: str, row: Row) -> int:
    """The first place of a word in a sentence, spelt the same if possible."""
    word = rf"(?<!\w){re.escape(pronoun)}(?!\w)"
    found = re.search(word, sentence) or re.search(word, sentence, re.IGNORECASE)
    row.require(found is not None, f"the pronoun {pronoun!r} does not stand in the sentence before it")
    return found.start()


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def read_winograd(folder: Path, split: str) -> list[Pronoun]:
    """The collection of Winograd schemas in XML, which is a test part alone."""
    path = find(folder, split, ["WSCollection.xml"] if split == "test" else [])
    return [_schema(element) for element in elements(path, "schema")]


def _schema(schema: Element) -> Pronoun:
    # Spaces at the ends of the parts are lost in XML's layout; what follows a pronoun without one is punctuation.
    before, pronoun, after = schema.text("txt1"), schema.text("pron"), schema.text("txt2")
    candidates = tuple(schema.texts.get("answer", ()))
    schema.row.require(len(candidates) == 2, f"there are {len(candidates)} elements <answer> instead of two")
    label = schema.row.choice(schema.text("correctAnswer").rstrip("."), ("A", "B"), "correct answer")
    return Pronoun(f"{before} " if before else "", pronoun, _spaced(after), candidates, label)


def _spaced(after: str) -> str:
    return after if not after or after[0] in ".,;:!?'" else f" {after}"
