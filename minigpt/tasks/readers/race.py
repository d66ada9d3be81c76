"""RACE: articles of English exams, and questions about them with four options each.

As it was released, a file for every article, in a folder for each kind of school; or as JSON lines, an article or a
single question on each, as it is passed on since.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from minigpt.core.errors import UserError
from minigpt.core.files import matching
from minigpt.tasks.examples import MultipleChoice
from minigpt.tasks.files import Row, entry, json_file, json_rows

LETTERS = ("A", "B", "C", "D")
LEVELS = ("middle", "high")
SPLITS = {"dev": ("dev", "validation", "val")}  # what a split's file of lines may be called


def read_race(folder: Path, split: str, *, levels: tuple[str, ...] = LEVELS) -> list[MultipleChoice]:
    """A question may be a sentence with a blank, `_`, that the right option fills.

    Args:
        levels: of which schools.
    """
    if folder.is_file():
        return list(_lines(folder, levels) if folder.suffix == ".jsonl" else _article(*_whole(folder)))
    places = [place for place in (folder / split, folder / "RACE" / split) if place.is_dir()]
    if places:
        missing = [level for level in levels if not (places[0] / level).is_dir()]
        if missing:
            raise UserError(f"there is no folder {places[0] / missing[0]}")
        files = [file for level in levels for file in matching(places[0] / level, "*.txt")]
        return [example for file in sorted(files, key=_order) for example in _article(*_whole(file))]
    names = SPLITS.get(split, (split,))
    for place in (folder, folder / "RACE"):
        for name in names:
            if (place / f"{name}.jsonl").is_file():
                return list(_lines(place / f"{name}.jsonl", levels))
    looked_for = ", ".join(f"{name}.jsonl" for name in names)
    raise UserError(f"{folder} has no {split} part: there is neither a folder {split} in it nor {looked_for}")


def _order(file: Path) -> tuple[str, int, str]:
    """By level, then by number: 9.txt before 10.txt."""
    return file.parent.name, int(file.stem) if file.stem.isdecimal() else 0, file.stem


def _whole(path: Path) -> tuple[Any, Row]:
    return json_file(path), Row(path, 1, ())


def _lines(path: Path, levels: tuple[str, ...]) -> Iterator[MultipleChoice]:
    for row, value in json_rows(path):
        if levels == LEVELS or _level(value, row) in levels:
            yield from _article(value, row) if "questions" in value else _question(value, row)


def _level(value: dict[str, Any], row: Row) -> str:
    """Of which school a line is: its id begins with it, as in high19088.txt."""
    name = value.get("example_id", value.get("id"))
    found = [level for level in LEVELS if isinstance(name, str) and name.startswith(level)]
    row.require(bool(found), "'example_id' or 'id' should begin with middle or high, to tell the schools apart")
    return found[0]


def _question(value: dict[str, Any], row: Row) -> Iterator[MultipleChoice]:
    """A line with one question is an article with one."""
    one = {f"{name}s": [value[name]] for name in ("question", "answer") if name in value}
    options = [value["options"]] if "options" in value else None
    return _article({"article": value.get("article"), "options": options, **one}, row)


def _article(value: Any, row: Row) -> Iterator[MultipleChoice]:
    article = entry(value, "article", str, row)
    questions, options, answers = (entry(value, key, list, row) for key in ("questions", "options", "answers"))
    if not len(questions) == len(options) == len(answers):
        counts = f"{len(questions)} questions, {len(options)} times options and {len(answers)} answers"
        raise row.error(f"the numbers of {counts} differ")
    for number, (question, four, answer) in enumerate(zip(questions, options, answers, strict=True), 1):
        if not (isinstance(question, str) and _texts(four) and len(four) == 4):
            raise row.error(f"question {number} is not a text with four options")
        label = row.choice(answer, LETTERS, f"answer to question {number}")
        yield MultipleChoice(article.strip(), question.strip(), tuple(option.strip() for option in four), label)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


read_race_middle, read_race_high = partial(read_race, levels=("middle",)), partial(read_race, levels=("high",))
