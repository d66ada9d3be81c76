"""Story Cloze, ROCStories, SWAG, COPA and CBT: stories, and what may come next in them or is missing from them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from minigpt.tasks.examples import MultipleChoice, Story
from minigpt.tasks.files import Row, Table, entry, find, json_rows, lines, quoted_rows
from minigpt.tasks.readers.xml import Element, elements

CLOZE = {
    "dev": (
        "cloze_test_val__spring2016 - cloze_test_ALL_val.csv",
        "cloze_test_val__winter2018-cloze_test_ALL_val - 1 - 1.csv",
    ),
    "test": (
        "cloze_test_test__spring2016 - cloze_test_ALL_test.csv",
        "cloze_test_test__winter2018-cloze_test_ALL_test - 1.csv",
    ),
}
GPT_SEED = 3535999445  # of the split that GPT was fine-tuned with
T = TypeVar("T")


def read_story_cloze(folder: Path, split: str) -> list[MultipleChoice]:
    """Four sentences and two endings.

    There is no training part. As for GPT, a fifth of the validation file is `dev` and the rest `train` (of the 1871
    stories of 2016: 374 and 1497, the same ones). A folder with `cloze_train.csv`, `cloze_dev.csv` and `cloze_test.csv`
    has the parts by itself.
    """
    own = f"cloze_{split}.csv"
    if folder.is_file() or (folder / own).is_file():
        return _cloze(find(folder, split, [own]), split)
    part = "test" if split == "test" else "dev"
    examples = _cloze(find(folder, part, CLOZE[part], apart="the files of 2016 and of 2018"), split)
    if split == "test":
        return examples
    train, dev = gpt_split(examples)
    return {"train": train, "dev": dev}.get(split, [])


def gpt_split(examples: list[T]) -> tuple[list[T], list[T]]:
    """The split of GPT's published code: `train_test_split` of scikit-learn with its seed, a fifth held out."""
    import numpy as np  # not above: the command line's help lists the tasks

    order = np.random.RandomState(GPT_SEED).permutation(len(examples))
    held = round(len(examples) / 5)
    return [examples[i] for i in order[held:]], [examples[i] for i in order[:held]]


def _cloze(path: Path, split: str) -> list[MultipleChoice]:
    table = Table(path, quoted_rows)
    sentences, endings = [f"InputSentence{n}" for n in range(1, 5)], [f"RandomFifthSentenceQuiz{n}" for n in (1, 2)]
    right = [] if split == "test" and "AnswerRightEnding" not in table.columns else ["AnswerRightEnding"]
    examples = []
    for row, texts in table.texts(*sentences, *endings, *right):
        label = row.choice(texts[6], ("1", "2"), "answer") if right else None
        examples.append(MultipleChoice(" ".join(texts[:4]), "", tuple(texts[4:6]), label))
    return examples


def read_rocstories(path: str | Path) -> list[Story]:
    """The stories that models for Story Cloze learn from: a title and five sentences in a CSV file."""
    path = Path(path)
    table = Table(path, quoted_rows)
    texts = table.texts("storytitle", *(f"sentence{n}" for n in range(1, 6)))
    return [Story(title, tuple(sentences)) for _, (title, *sentences) in texts]


def read_swag(folder: Path, split: str) -> list[MultipleChoice]:
    """A sentence, the beginning of the next and four ways in which it goes on: CSV, or JSON on every line."""
    name = "val" if split == "dev" else split
    path = find(folder, split, [f"{name}.csv", f"{name}.jsonl", f"{name}.json"], ["data", "swag"])
    if path.suffix == ".csv":
        table = Table(path, quoted_rows)
        rows = ((row, dict(zip(table.columns, row.fields, strict=True))) for row in table)
    else:
        rows = json_rows(path)
    return [_swag_example(row, value, split) for row, value in rows]


def _swag_example(row: Row, value: dict, split: str) -> MultipleChoice:
    begun = entry(value, "sent2", str, row).strip()
    endings = (entry(value, f"ending{n}", str, row).strip() for n in range(4))
    label = value.get("label")
    if not (split == "test" and label is None):
        label = row.choice(str(label), ("0", "1", "2", "3"))
    options = tuple(f"{begun} {ending}".strip() for ending in endings)
    return MultipleChoice(entry(value, "sent1", str, row).strip(), "", options, label)


def read_copa(folder: Path, split: str) -> list[MultipleChoice]:
    """A premise and two alternatives, in XML; the question is "cause" or "effect". There is no training part."""
    path = find(folder, split, [f"copa-{split}.xml"], ["datasets", "COPA-resources/datasets"])
    return [_copa_example(item) for item in elements(path, "item")]


def _copa_example(item: Element) -> MultipleChoice:
    row = item.row
    question = item.attributes.get("asks-for", "")
    row.choice(question, ("cause", "effect"), "value of asks-for")
    right = item.attributes.get("most-plausible-alternative")
    label = None if right is None else row.choice(right, ("1", "2"), "most plausible alternative")
    return MultipleChoice(item.text("p"), question, (item.text("a1"), item.text("a2")), label)


def read_cbt(folder: Path, split: str, *, part: str) -> list[MultipleChoice]:
    """Twenty sentences of a book and a twenty-first that lacks a word, for which there are ten candidates.

    Args:
        part: what the missing words are: CN, common nouns; NE, named entities; V, verbs; P, prepositions.
    """
    names = {"train": "train", "dev": "valid_2000ex", "test": "test_2500ex"}
    file = f"cbtest_{part}_{names.get(split, split)}.txt"
    path = find(folder, split, [file], ["data", "CBTest/data"])
    return list(_cbt_examples(path))


def _cbt_examples(path: Path) -> Iterator[MultipleChoice]:
    context: list[str] = []
    row = Row(path, 1, ())
    for number, line in lines(path):
        row = Row(path, number, ())
        if not line.strip():
            continue
        count, _, sentence = line.partition(" ")
        if count != str(len(context) + 1):
            raise row.error(f"sentence {len(context) + 1} of an example should stand here, with its number before it")
        if len(context) < 20:
            context.append(sentence.strip())
            continue
        yield _cbt_example(row, " ".join(context), sentence)
        context = []
    if context:
        raise row.error(f"the file ends after {len(context)} of the 21 sentences of an example")


def _cbt_example(row: Row, context: str, text: str) -> MultipleChoice:
    sentence, answer, _, candidates = row._replace(fields=text.split("\t")).exactly(4)
    row.require("XXXXX" in sentence, "the sentence has no XXXXX where the word is missing")
    options = tuple(candidates.strip().split("|"))
    return MultipleChoice(context, sentence.strip(), options, row.choice(answer.strip(), options, "answer"))


read_cbt_cn, read_cbt_ne = partial(read_cbt, part="CN"), partial(read_cbt, part="NE")
