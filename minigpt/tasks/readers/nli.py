"""MNLI and SNLI: as GLUE has them, and as they were first released (tabs, or JSON on every line).

The gold label is the last field in GLUE's files and the first in the originals. Pairs whose annotators did not agree
have "-" there; they are left out, as everybody does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from minigpt.tasks.examples import ENTAILMENT, Classification
from minigpt.tasks.files import Row, Table, entry, find, json_rows


def read_mnli(folder: Path, split: str) -> list[Classification]:
    """`dev` is the matched part, of the genres of the training part; `dev-mismatched` is of others. Tests likewise."""
    part = split if split == "train" else split.replace("-", "_") if "-" in split else f"{split}_matched"
    names = [f"{part}.tsv", *(f"multinli_1.0_{part}.{suffix}" for suffix in ("txt", "jsonl"))]
    return _read(find(folder, split, names, ["MNLI", "multinli_1.0"]), split)


def read_snli(folder: Path, split: str) -> list[Classification]:
    names = [f"{split}.tsv", *(f"snli_1.0_{split}.{suffix}" for suffix in ("txt", "jsonl"))]
    return _read(find(folder, split, names, ["SNLI", "snli_1.0"]), split)


def _read(path: Path, split: str) -> list[Classification]:
    triples = _json_triples(path) if path.suffix == ".jsonl" else _table_triples(path, split)
    return [
        Classification(first.strip(), second.strip(), None if gold is None else row.choice(gold, ENTAILMENT))
        for row, first, second, gold in triples
        if gold != "-"
    ]


def _json_triples(path: Path) -> Iterator[tuple[Row, str, str, str | None]]:
    for row, value in json_rows(path):
        first, second, gold = (entry(value, key, str, row) for key in ("sentence1", "sentence2", "gold_label"))
        yield row, first, second, gold


def _table_triples(path: Path, split: str) -> Iterator[tuple[Row, str, str, str | None]]:
    """The row, both sentences and the gold label (None in a test part without labels)."""
    table = Table(path)
    first, second = table.column("sentence1"), table.column("sentence2")
    gold = None if split.startswith("test") and "gold_label" not in table.columns else table.column("gold_label")
    counts = _field_counts(table)
    # In GLUE's files the label is last, also where a row has more annotators than the header.
    at = -1 if gold == len(table.columns) - 1 else gold
    last = max(first, second, at or 0)
    for row in table.rows:
        if len(row.fields) not in counts or len(row.fields) <= last:
            raise row.error(f"there are {len(row.fields)} fields, but {len(table.columns)} columns")
        yield row, row.fields[first], row.fields[second], None if at is None else row.fields[at]


def _field_counts(table: Table) -> range:
    """How many fields a row may have.

    The originals name five annotators in the header and stop a row after the last one that it has. The header of GLUE's
    SNLI names one, and some rows have five.
    """
    width = len(table.columns)
    if table.columns[0] == "gold_label":
        return range(table.column("label1", "gold_label") + 1, width + 1)
    if "captionID" in table.columns and "label1" in table.columns:
        first = table.column("label1")
        return range(first + 2, first + 7)  # one to five annotators and the gold label
    return range(width, width + 1)
