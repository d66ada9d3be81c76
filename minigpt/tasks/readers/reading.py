"""SQuAD and LAMBADA: passages, and questions about them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minigpt.core.limits import DOCUMENT_BYTES
from minigpt.tasks.examples import LastWord, Span
from minigpt.tasks.files import Row, entry, find, json_rows, lines, parse_json

NEARBY = (0, -1, 1, -2, 2)  # some published answers are said to start a character or two beside their text


def read_squad(folder: Path, split: str) -> list[Span]:
    """SQuAD 1.1 and 2.0: articles of paragraphs of questions. Also a flat list of questions, each with its context."""
    names = [f"{split}-v{version}.json" for version in ("1.1", "2.0")]
    path = find(folder, split, names, ["squad", "SQuAD"], apart="SQuAD 1.1 and 2.0")
    text = "\n".join(line for _, line in lines(path, DOCUMENT_BYTES))
    top = Row(path, 1, ())
    places = _id_lines(text)
    examples = []
    for item in entry(parse_json(text, top), "data", list, top):
        top.require(isinstance(item, dict), "an item of 'data' is not an object")
        paragraphs = entry(item, "paragraphs", list, top) if "paragraphs" in item else [{**item, "qas": [item]}]
        for paragraph in paragraphs:
            context = entry(paragraph, "context", str, top)
            for qa in entry(paragraph, "qas", list, top):
                row = top._replace(line=places.get(entry(qa, "id", str, top), 1))
                examples.append(_span(qa, context, row, split))
    return examples


def _id_lines(text: str) -> dict[str, int]:
    """On which line every question's id stands."""
    places, line, end = {}, 1, 0
    for match in re.finditer(r'"id"\s*:\s*"([^"]*)"', text):
        line += text.count("\n", end, match.end())
        end = match.end()
        places[match[1]] = line
    return places


def _span(qa: Any, context: str, row: Row, split: str) -> Span:
    name = entry(qa, "id", str, row)
    where = f"question {name}"
    question, impossible = entry(qa, "question", str, row, where), qa.get("is_impossible", False)
    row.require(isinstance(impossible, bool), f"{where}: 'is_impossible' is neither true nor false")
    answers = [_placed(text, start, context, row, where) for text, start in _answers(qa, row, where)]
    if answers and impossible:
        raise row.error(f"{where} is said to be impossible and has answers")
    if not answers and split != "test":
        impossible = True
    return Span(name, question.strip(), context, tuple(answers), impossible)


def _answers(qa: dict, row: Row, where: str) -> Iterator[tuple[str, int]]:
    """The answers of a question: a list of objects, or an object of lists."""
    answers = qa.get("answers", [])
    if isinstance(answers, dict):
        texts, starts = (entry(answers, key, list, row, where) for key in ("text", "answer_start"))
        row.require(len(texts) == len(starts), f"{where}: there are {len(texts)} answers and {len(starts)} starts")
        answers = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    row.require(isinstance(answers, list), f"{where}: 'answers' is not a list")
    for answer in answers:
        yield entry(answer, "text", str, row, where), entry(answer, "answer_start", int, row, where)


def _placed(text: str, start: int, context: str, row: Row, where: str) -> tuple[str, int]:
    for place in (start + shift for shift in NEARBY):
        if place >= 0 and context[place : place + len(text)] == text:
            return text, place
    raise row.error(f"{where}: the answer {text[:40]!r} does not stand at character {start} of its context")


def read_lambada(folder: Path, split: str) -> list[LastWord]:
    """Passages, one in a JSON object on every line; the word to guess is what follows the last space."""
    names = [f"lambada_{split}.jsonl", *(["lambada_development.jsonl"] if split == "dev" else [])]
    path = find(folder, split, names, ["lambada"])
    return [_last_word(entry(value, "text", str, row), row) for row, value in json_rows(path)]


def _last_word(text: str, row: Row) -> LastWord:
    context, space, word = text.strip().rpartition(" ")
    row.require(bool(space), "the passage has no space, so that no last word can be cut off")
    return LastWord(context, word)
