"""Rows of any text come back as they were written: tabs and line ends part fields, and nothing else does."""

import csv
import io
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minigpt.tasks.files import json_rows, own_split, quoted_rows, tab_rows

from ..tiers import examples

SETTINGS = settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CHARACTERS = st.characters(exclude_categories=["Cs"])
FIELD = st.text(st.one_of(CHARACTERS, st.sampled_from('"\u2028\x85\x0b\x0c,\ufeff')), min_size=1)
IN_TABLE = FIELD.map(lambda text: "".join(c for c in text if c not in "\t\n\r") or "x")


@SETTINGS
@given(st.lists(st.lists(IN_TABLE, min_size=1, max_size=4), min_size=1, max_size=5))
def test_tab_separated_rows(tmp_path, rows):
    path = tmp_path / "rows.tsv"
    for end in ("\n", "\r\n"):
        text = end.join("\t".join(fields) for fields in rows) + end
        path.write_bytes(("\ufeff" + text).encode("utf-8"))
        assert [list(row.fields) for row in tab_rows(path)] == rows
        assert [row.line for row in tab_rows(path)] == list(range(1, len(rows) + 1))


@SETTINGS
@given(st.lists(st.lists(FIELD, min_size=1, max_size=4), min_size=1, max_size=5), st.sampled_from(",\t"))
def test_quoted_rows(tmp_path, rows, delimiter):
    path, text = tmp_path / "rows.csv", io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(rows)
    path.write_bytes(("\ufeff" + text.getvalue()).encode("utf-8"))
    assert [list(row.fields) for row in quoted_rows(path, delimiter)] == rows


@SETTINGS
@given(st.lists(FIELD, min_size=1, max_size=5), st.booleans())
def test_json_rows(tmp_path, texts, escaped):
    path = tmp_path / "rows.jsonl"
    path.write_bytes("".join(json.dumps({"text": t}, ensure_ascii=escaped) + "\n" for t in texts).encode("utf-8"))
    assert [value["text"] for _, value in json_rows(path)] == texts


@SETTINGS
@given(st.integers(3, 200), st.integers(0, 5))
def test_own_parts_are_a_partition_that_a_seed_repeats(count, seed):
    items = list(range(count))
    parts = [own_split(items, split, dev=0.1, test=0.1, seed=seed) for split in ("train", "dev", "test")]
    assert sorted(x for part in parts for x in part) == items and all(parts)
    assert all(part == sorted(part) for part in parts)
    assert parts[1] == own_split(items, "dev", dev=0.1, test=0.1, seed=seed)
