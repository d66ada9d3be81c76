"""GLUE's tab-separated files, and the originals of MRPC, QQP and STS-B that stand behind three of them.

GLUE's files have no quoting: a double quote is a character like any other, and a line ends at "\\n" alone. Columns are
found by their names in the first line, so that 12 or 16 columns of MNLI are all the same; CoLA has no such line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from minigpt.core.errors import UserError
from minigpt.core.settings import require
from minigpt.tasks.examples import ENTAILMENT, TWO_WAY, Classification, Similarity
from minigpt.tasks.files import Row, Table, find, own_split, quoted_rows, tab_rows

BINARY = ("0", "1")


def read_cola(folder: Path, split: str) -> list[Classification]:
    """Columns source, label, the author's mark, sentence, without a header; the test part index, sentence, with one."""
    path = find(folder, split, [f"{split}.tsv"], ["CoLA"])
    rows = tab_rows(path)
    first = next(rows, None)
    require(first is not None, f"{path} is empty")
    if list(first.fields) == ["index", "sentence"]:
        _needs_labels(first, split)
        return [Classification(row.exactly(2)[1].strip(), None, None) for row in rows]
    return [_cola_example(row) for row in (first, *rows)]


def _cola_example(row: Row) -> Classification:
    _, label, _, sentence = row.exactly(4)
    return Classification(sentence.strip(), None, row.choice(label, BINARY))


def read_texts(
    folder: Path, split: str, *, within: str, columns: tuple[str, ...], labels: tuple[str, ...], only: str = ""
) -> list[Classification]:
    """One or two texts and their label (SST-2, QNLI, RTE, WNLI; AX, which has only a test part without labels)."""
    names = [f"{only}.tsv", "diagnostic.tsv"] if only and split == "test" else [] if only else [f"{split}.tsv"]
    table = Table(find(folder, split, names, [within, "diagnostic"]))
    return _classified(table, table, split, columns, "label", labels)


def read_mrpc(folder: Path, split: str) -> list[Classification]:
    """GLUE's three files, or the original two with or without `dev_ids.tsv`.

    GLUE's own download comes without the train and dev parts, which are made of the original's training file: the pairs
    of `dev_ids.tsv` are the dev part. Where that list is missing, a tenth of the pairs is, drawn by a seed.
    """
    if split in ("train", "dev") and not folder.is_file():
        try:
            find(folder, split, ["train.tsv"], ["MRPC"]), find(folder, split, ["dev.tsv"], ["MRPC"])
        except UserError:
            return _mrpc_original(folder, split)
    names = [f"{split}.tsv", *(["msr_paraphrase_test.txt", "test"] if split == "test" else [])]
    table = _mrpc_table(find(folder, split, names, ["MRPC"]))
    return _mrpc_examples(table, table, split)


def _mrpc_original(folder: Path, split: str) -> list[Classification]:
    path = find(folder, split, ["msr_paraphrase_train.txt", "train", "train.tsv"], ["MRPC"])
    table = _mrpc_table(path)
    rows, ids = list(table), slice(table.column("#1 ID"), table.column("#2 ID") + 1)
    listed = [path.with_name(name) for name in ("dev_ids.tsv", "mrpc_dev_ids.tsv", "dev_ids")]
    listed = [file for file in listed if file.is_file()]
    if not listed:
        return _mrpc_examples(table, own_split(rows, split, dev=0.1, test=0.0), split)
    dev = {tuple(row.exactly(2)) for row in tab_rows(listed[0])}
    return _mrpc_examples(table, [r for r in rows if (tuple(r.fields[ids]) in dev) == (split == "dev")], split)


def _mrpc_table(path: Path) -> Table:
    table = Table(path)
    # Some copies have the byte-order mark before the first name as three letters.
    table.columns[0] = table.columns[0].removeprefix("BOM")
    return table


def _mrpc_examples(table: Table, rows: Iterable[Row], split: str) -> list[Classification]:
    return _classified(table, rows, split, ("#1 String", "#2 String"), "Quality", BINARY)


def read_qqp(folder: Path, split: str) -> list[Classification]:
    """GLUE's files, or the original release, one file with CSV quoting and without parts.

    A row of GLUE's train and dev files that has not six fields (a text with a tab or a line end in it) is left out, as
    everybody does. Of the original, a tenth drawn by a seed is the dev part and another the test part.
    """
    original = _quora_file(folder)
    if original is not None:
        comma = original.suffix == ".csv"
        table = Table(original, partial(quoted_rows, delimiter="," if comma else "\t"))
        rows = table if folder.is_file() else own_split(list(table), split, dev=0.1, test=0.1)
    else:
        table = Table(_glue_file(folder, split, "QQP", "question1"))
        rows = (row for row in table.rows if len(row.fields) == 6) if len(table.columns) == 6 else table
    return _classified(table, rows, split, ("question1", "question2"), "is_duplicate", BINARY)


def _quora_file(folder: Path) -> Path | None:
    """The original release: its TSV by name, or any comma-separated file that is named itself."""
    if folder.is_file():
        return folder if folder.suffix == ".csv" or folder.name == "quora_duplicate_questions.tsv" else None
    path = folder / "quora_duplicate_questions.tsv"
    return path if path.is_file() else None


def read_stsb(folder: Path, split: str) -> list[Similarity]:
    """GLUE's files, or the original's `sts-train.csv`: tabs in spite of its name, no header, sometimes more columns."""
    ixa = folder if folder.is_file() and folder.suffix == ".csv" else folder / f"sts-{split}.csv"
    if not ixa.is_file():
        ixa = folder / "stsbenchmark" / f"sts-{split}.csv"
    if ixa.is_file():
        return [_ixa_example(row) for row in tab_rows(ixa)]
    table = Table(_glue_file(folder, split, "STS-B", "sentence1"))
    rows, score = table.texts("sentence1", "sentence2"), _label_column(table, split, "score")
    return [Similarity(*pair, None if score is None else _score(row, score)) for row, pair in rows]


def _ixa_example(row: Row) -> Similarity:
    row.require(len(row.fields) >= 7, f"there are {len(row.fields)} fields instead of 7 or more")
    return Similarity(row.fields[5].strip(), row.fields[6].strip(), _score(row, 4))


def _score(row: Row, column: int) -> float:
    try:
        score = float(row.fields[column])
    except ValueError:
        raise row.error(f"the score {row.fields[column]!r} is not a number") from None
    row.require(0.0 <= score <= 5.0, f"the score {score:g} is not between 0 and 5")
    return score


def _glue_file(folder: Path, split: str, name: str, column: str) -> Path:
    """The file of QQP or STS-B, whichever of the two folders it is in.

    GLUE's download script has their addresses the wrong way round, so that one may lie in the other's folder.
    """
    # The folder may be one of the two, or hold either.
    places = [folder, *(folder / place for place in (name, "STS-B", "SST-B", "QQP"))]
    files = [folder] if folder.is_file() else [place / f"{split}.tsv" for place in places]
    for path in filter(Path.is_file, files):
        if column in Table(path).columns:
            return path
        other = "STS-B" if name == "QQP" else "QQP"
        hint = f" (is it {other}? GLUE's download script has the two addresses the wrong way round)"
        wrong = UserError(f"{path}, line 1: there is no column {column}, so this is not {name}{hint}")
    if any(map(Path.is_file, files)):
        raise wrong
    return find(folder, split, [f"{split}.tsv"], [name])


def _needs_labels(header: Row, split: str) -> None:
    header.require(split.startswith("test"), f"there are no labels, which a {split} part needs")


def _label_column(table: Table, split: str, name: str) -> int | None:
    """Where the label stands; None in a test part without labels."""
    if name not in table.columns:
        _needs_labels(table.header, split)
        return None
    return table.column(name)


def _classified(
    table: Table, rows: Iterable[Row], split: str, columns: Sequence[str], label: str, labels: tuple[str, ...]
) -> list[Classification]:
    """The texts of one or two columns, and the label where there is one."""
    texts, third = table.texts(*columns, rows=rows), _label_column(table, split, label)
    examples = []
    for row, (text, *pair) in texts:
        answer = None if third is None else row.choice(row.fields[third], labels)
        examples.append(Classification(text, pair[0] if pair else None, answer))
    return examples


_SENTENCES = ("sentence1", "sentence2")
read_sst2 = partial(read_texts, within="SST-2", columns=("sentence",), labels=BINARY)
read_qnli = partial(read_texts, within="QNLI", columns=("question", "sentence"), labels=TWO_WAY)
read_rte = partial(read_texts, within="RTE", columns=_SENTENCES, labels=TWO_WAY)
read_wnli = partial(read_texts, within="WNLI", columns=_SENTENCES, labels=BINARY)
read_ax = partial(read_texts, within="AX", columns=_SENTENCES, labels=ENTAILMENT, only="AX")
