"""Rows of the files that data sets come in: tabs, commas, JSON, each with the line that an error can name.

A row that is not as its format says is refused, with file and line; nothing is repaired in silence.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from minigpt.core import reading
from minigpt.core.errors import UserError
from minigpt.core.limits import DOCUMENT_BYTES
from minigpt.core.reading import unreadable
from minigpt.core.settings import require

SPLITS = ("train", "dev", "test", "dev-mismatched", "test-mismatched")
T = TypeVar("T")


class MissingPart(UserError):
    """A data set lacks one of its parts, and nothing else is wrong with it."""


class Row(NamedTuple):
    """The fields of one row, and where it stands."""

    path: Path
    line: int
    fields: Sequence[str]

    def error(self, what: str) -> UserError:
        return UserError(f"{self.path}, line {self.line}: {what}")

    def require(self, condition: bool, what: str) -> None:
        if not condition:
            raise self.error(what)

    def exactly(self, count: int) -> list[str]:
        """The fields, of which there must be so many."""
        if len(self.fields) != count:
            raise self.error(f"there are {len(self.fields)} fields instead of {count}")
        return list(self.fields)

    def choice(self, word: str, words: Sequence[str], what: str = "label") -> int:
        """The index of `word` among the words that may stand there."""
        if word not in words:
            raise self.error(f"the {what} is {word!r}, not one of {', '.join(words)}")
        return words.index(word)


def find(folder: Path, split: str, names: Sequence[str], within: Sequence[str] = (), apart: str = "") -> Path:
    """The file of a split: in the folder, or in the folder of the data set's own name inside it.

    A path that is a file is that file, whatever it is called.

    Args:
        names: what the file may be called; the first that exists is taken.
        within: names that the data set's folder may have.
        apart: of which data sets the names are, if no two of them may be in the folder.
    Raises:
        UserError: none of them is there.
    """
    if folder.is_file():
        return folder
    if apart and sum((folder / name).is_file() for name in names) > 1:
        raise UserError(f"{folder} holds {apart}; keep them in folders of their own")
    for place in (folder, *(folder / name for name in within)):
        for name in names:
            if (place / name).is_file():
                return place / name
    require(folder.exists(), f"there is no folder {folder}")
    looked_for = f"none of the files {', '.join(names)}" if names else "no such part of this task"
    raise MissingPart(f"{folder} has no {split} part: there is {looked_for}")


def lines(path: Path, most: int | None = None) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file with their numbers, from 1, without a byte-order mark and line ends.

    Lines end at "\\n" alone: U+2028, U+0085 and their kind are characters of a text like any other.

    Args:
        most: bytes that the file may have, if it is going to be held as a whole.
    """
    try:
        with reading.open_regular(path, most) as file:
            for number, data in enumerate(file, 1):
                try:
                    line = data.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise UserError(f"{path}, line {number}: byte {error.start} is not UTF-8") from None
                line = line.removesuffix("\n").removesuffix("\r")
                yield number, line.removeprefix("\ufeff") if number == 1 else line
    except OSError as error:
        raise unreadable(path, error) from None


def tab_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file whose fields are separated by tabs; quotes mean nothing.

    Empty lines may stand at the end of the file and nowhere else.
    """
    empty: Row | None = None
    for number, line in lines(path):
        row = Row(path, number, line.split("\t"))
        if not line:
            empty = empty or row
            continue
        if empty:
            raise empty.error("the line is empty")
        yield row


def quoted_rows(path: Path, delimiter: str = ",") -> Iterator[Row]:
    """Yield the rows of a CSV file: what stands in double quotes is one field, commas and line ends included."""
    start = 1
    try:
        with io.TextIOWrapper(reading.open_regular(path), encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter=delimiter, strict=True)
            for fields in rows:
                if fields:
                    yield Row(path, start, fields)
                start = rows.line_num + 1
    except csv.Error as error:
        reason = str(error).replace("\t", "tab")
        raise UserError(f"{path}, line {start}: this is not a row of a CSV file ({reason})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}, after line {rows.line_num}: the text is not UTF-8") from None
    except OSError as error:
        raise unreadable(path, error) from None


class Table:
    """Rows below a line of column names, which are looked up by name."""

    def __init__(self, path: Path, read: Callable[[Path], Iterator[Row]] = tab_rows):
        self.rows = read(path)
        header = next(self.rows, None)
        require(header is not None, f"{path} is empty")
        self.header = header
        self.columns = list(header.fields)

    def column(self, *names: str) -> int:
        """Where the first of these names stands in the header."""
        for name in names:
            if name in self.columns:
                return self.columns.index(name)
        raise self.header.error(f"there is no column {' or '.join(names)}; the first line should name the columns")

    def texts(self, *names: str, rows: Iterable[Row] | None = None) -> Iterator[tuple[Row, list[str]]]:
        """Each row (all, or some), with its fields of these columns, without the white space around them."""
        places = [self.column(name) for name in names]
        return ((row, [row.fields[place].strip() for place in places]) for row in (self if rows is None else rows))

    def __iter__(self) -> Iterator[Row]:
        """The rows, each with as many fields as the header."""
        for row in self.rows:
            if len(row.fields) != len(self.columns):
                raise row.error(f"there are {len(row.fields)} fields, but {len(self.columns)} columns")
            yield row


def parse_json(text: str, row: Row) -> Any:
    """Parse JSON that begins on the row's line."""
    try:
        return reading.parse_json(text)
    except json.JSONDecodeError as error:
        raise row._replace(line=row.line + error.lineno - 1).error(f"this is not JSON ({error.msg})") from None
    except ValueError as error:
        raise row.error(f"this is no JSON that can be read: {error}") from None


def json_file(path: Path) -> Any:
    """The one JSON value that a file holds."""
    return parse_json("\n".join(line for _, line in lines(path, DOCUMENT_BYTES)), Row(path, 1, ()))


def json_rows(path: Path) -> Iterator[tuple[Row, dict]]:
    """Yield the JSON objects of a file that has one on each line, with the row that names the line."""
    for number, line in lines(path):
        if line.strip():
            row = Row(path, number, ())
            value = parse_json(line, row)
            row.require(isinstance(value, dict), "this is not a JSON object")
            yield row, value


def entry(value: Any, key: str, kind: type[T], row: Row, where: str = "") -> T:
    """What a JSON object has under a key, which must be of a type."""
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        names = {str: "text", list: "a list", dict: "an object", int: "a whole number"}
        raise row.error(f"{where + ': ' if where else ''}{key!r} is missing or not {names[kind]}")
    return found


def own_split(items: Sequence[T], split: str, *, dev: float, test: float, seed: int = 0) -> list[T]:
    """A part of what comes without parts: drawn by a seed, in the order of the file, the same on every machine.

    Args:
        dev: which share of the items is the part `dev`; `test` likewise; `train` is the rest.
    """
    import numpy as np  # not above: the command line's help lists the tasks

    count = len(items)
    held = {"dev": round(count * dev) or bool(dev), "test": round(count * test) or bool(test)}
    order = np.random.Generator(np.random.PCG64(seed)).permutation(count)
    ends = {"dev": order[: held["dev"]], "test": order[held["dev"] :][: held["test"]]}
    chosen = ends[split] if split in ends else order[held["dev"] + held["test"] :]
    return [items[i] for i in sorted(chosen.tolist())]


def checked(read: Callable[[Path, str], list[T]], folder: str | Path, split: str) -> list[T]:
    """What every reader does before and after: the split's name is checked, and a part without examples refused."""
    require(split in SPLITS, f"there is no split {split!r}; the splits are {', '.join(SPLITS)}")
    examples = read(Path(folder), split)
    require(bool(examples), f"the {split} part in {folder} holds no examples")
    return examples
