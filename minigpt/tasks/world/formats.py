"""Examples written in the file formats of the originals, so that the same readers read them.

All parts have labels, also those of GLUE's test parts, which come without them from its makers.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from minigpt.core.files import make_folder, write_atomically
from minigpt.tasks import examples as kinds
from minigpt.tasks.examples import ENTAILMENT, TWO_WAY

# Writes the examples of one part into a folder.
Write = Callable[[Path, str, Sequence[Any]], None]


def _tsv(folder: Path, name: str, header: str, rows: Sequence[Sequence[object]]) -> None:
    lines = [*([header] if header else []), *("\t".join(map(str, row)) for row in rows)]
    write_atomically(folder / name, "\n".join(lines) + "\n")


def cola(folder: Path, split: str, examples: Sequence[kinds.Classification]) -> None:
    _tsv(folder, f"{split}.tsv", "", [("sw", e.label, "" if e.label else "*", e.text) for e in examples])


def sst2(folder: Path, split: str, examples: Sequence[kinds.Classification]) -> None:
    _tsv(folder, f"{split}.tsv", "sentence\tlabel", [(e.text, e.label) for e in examples])


def mrpc(folder: Path, split: str, examples: Sequence[kinds.Classification]) -> None:
    rows = [(e.label, 2 * i, 2 * i + 1, e.text, e.pair) for i, e in enumerate(examples)]
    _tsv(folder, f"{split}.tsv", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", rows)


def qqp(folder: Path, split: str, examples: Sequence[kinds.Classification]) -> None:
    rows = [(i, 2 * i, 2 * i + 1, e.text, e.pair, e.label) for i, e in enumerate(examples)]
    _tsv(folder, f"{split}.tsv", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", rows)


def stsb(folder: Path, split: str, examples: Sequence[kinds.Similarity]) -> None:
    header = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"
    rows = [
        (i, "storyworld", "gifts", 2026, i, "none", "none", e.text, e.pair, f"{e.score:.3f}")
        for i, e in enumerate(examples)
    ]
    _tsv(folder, f"{split}.tsv", header, rows)


def mnli(folder: Path, split: str, examples: Sequence[kinds.Classification]) -> None:
    """Twelve columns for training, with one annotator; sixteen elsewhere, with five who agree. The parses are flat."""
    annotators = 1 if split == "train" else 5
    names = "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse"
    columns = [*names.split(), "sentence1", "sentence2", *(f"label{n + 1}" for n in range(annotators)), "gold_label"]
    rows = []
    for i, e in enumerate(examples):
        gold = ENTAILMENT[e.label or 0]
        brackets = [f"( {text} )" for text in (e.text, e.pair)] + [f"(ROOT {text})" for text in (e.text, e.pair)]
        rows.append([i, i, f"{i}{gold[0]}", "storyworld", *brackets, e.text, e.pair, *[gold] * (annotators + 1)])
    name = {"dev": "dev_matched", "test": "test_matched"}.get(split, split.replace("-", "_"))
    _tsv(folder, f"{name}.tsv", "\t".join(columns), rows)


def _two_way(folder: Path, split: str, examples: Sequence[kinds.Classification], *, columns: str) -> None:
    rows = [(i, e.text, e.pair, TWO_WAY[e.label or 0]) for i, e in enumerate(examples)]
    _tsv(folder, f"{split}.tsv", f"index\t{columns}\tlabel", rows)


rte = partial(_two_way, columns="sentence1\tsentence2")
qnli = partial(_two_way, columns="question\tsentence")


def story_cloze(folder: Path, split: str, examples: Sequence[kinds.MultipleChoice]) -> None:
    names = [f"InputSentence{n}" for n in range(1, 5)] + [f"RandomFifthSentenceQuiz{n}" for n in (1, 2)]
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["InputStoryid", *names, "AnswerRightEnding"])
    for i, e in enumerate(examples):
        table.writerow([f"{split}-{i}", *_sentences(e.context), *e.options, (e.label or 0) + 1])
    write_atomically(folder / f"cloze_{split}.csv", text.getvalue())


def _sentences(context: str) -> list[str]:
    """The four sentences of a story: no full stop stands inside one of this world's sentences."""
    return [sentence + "." for sentence in context.removesuffix(".").split(". ")]


def race(folder: Path, split: str, examples: Sequence[kinds.MultipleChoice]) -> None:
    """An article and its questions in each file; the shorter half of the articles is for middle schools."""
    articles = [(article, list(group)) for article, group in groupby(examples, key=lambda e: e.context)]
    middle = sorted(len(article) for article, _ in articles)[(len(articles) - 1) // 2]
    for number, (article, group) in enumerate(articles, 1):
        level = "middle" if len(article) <= middle else "high"
        value = {
            "answers": ["ABCD"[e.label or 0] for e in group],
            "options": [list(e.options) for e in group],
            "questions": [e.question for e in group],
            "article": article,
            "id": f"{level}{number}.txt",
        }
        write_atomically(make_folder(folder / split / level) / f"{number}.txt", json.dumps(value))
    for level in ("middle", "high"):
        make_folder(folder / split / level)


def squad(folder: Path, split: str, examples: Sequence[kinds.Span]) -> None:
    paragraphs = []
    for e in examples:
        answers = [{"text": text, "answer_start": start} for text, start in e.answers]
        paragraphs.append({"context": e.context, "qas": [{"id": e.id, "question": e.question, "answers": answers}]})
    value = {"version": "1.1", "data": [{"title": "storyworld", "paragraphs": paragraphs}]}
    write_atomically(folder / f"{split}-v1.1.json", json.dumps(value))


def lambada(folder: Path, split: str, examples: Sequence[kinds.LastWord]) -> None:
    lines = [json.dumps({"text": f"{e.context} {e.word}"}) + "\n" for e in examples]
    write_atomically(folder / f"lambada_{split}.jsonl", "".join(lines))


def dprd(folder: Path, split: str, examples: Sequence[kinds.Pronoun]) -> None:
    blocks = [
        f"{e.before}{e.pronoun}{e.after}\n{e.pronoun}\n{','.join(e.candidates)}\n{e.candidates[e.label or 0]}\n\n"
        for e in examples
    ]
    write_atomically(folder / f"{split}.c.txt", "".join(blocks))


def winograd(folder: Path, split: str, examples: Sequence[kinds.Pronoun]) -> None:
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n<collection>\n']
    for e in examples:
        before, pronoun, after = (escape(text.strip()) for text in e[:3])
        answers = "".join(f"<answer>{escape(name)}</answer>" for name in e.candidates)
        parts.append(
            f"<schema>\n<text><txt1>{before}</txt1><pron>{pronoun}</pron><txt2>{after}</txt2></text>\n"
            f"<answers>{answers}</answers>\n<correctAnswer>{'AB'[e.label or 0]}</correctAnswer>\n</schema>\n"
        )
    write_atomically(folder / "WSCollection.xml", "".join([*parts, "</collection>\n"]))


def cnn_dm(folder: Path, split: str, examples: Sequence[kinds.Summary]) -> None:
    make_folder(folder / split)
    for number, e in enumerate(examples, 1):
        paragraphs = e.article.split("\n")
        for highlight in e.summary.split("\n"):
            paragraphs += ["@highlight", highlight]
        write_atomically(folder / split / f"{number:05d}.story", "\n\n".join(paragraphs) + "\n")


def translation(folder: Path, split: str, examples: Sequence[kinds.Translation]) -> None:
    _tsv(folder, f"{split}.tsv", "", [(e.source, e.target) for e in examples])
