"""Every reader opens genuine rows, in the files that the data sets are downloaded as."""

import json

import pytest

from minigpt.tasks import TASKS
from tests.conftest import REAL_DATA

SAMPLES = REAL_DATA / "tasks"

# task, folder or file, {split: how many examples}
GENUINE = (
    ("cola", "format_samples/glue_cola", {"train": 3, "dev": 2, "test": 1}),
    ("sst2", "format_samples/glue_sst2", {"train": 3, "dev": 2, "test": 1}),
    ("mrpc", "format_samples/glue_mrpc", {"train": 10, "dev": 8, "test": 15}),
    ("qqp", "format_samples/glue_qqp", {"train": 3, "dev": 2, "test": 1}),
    ("stsb", "format_samples/glue_stsb", {"train": 3, "dev": 2, "test": 1}),
    (
        "mnli",
        "format_samples/glue_mnli",
        {"train": 3, "dev": 2, "dev-mismatched": 2, "test": 1, "test-mismatched": 1},
    ),
    ("mnli", "format_samples/multi_nli/multinli_1.0.zip", {"train": 4, "dev": 4, "dev-mismatched": 4}),
    ("rte", "format_samples/glue_rte", {"train": 3, "dev": 2, "test": 1}),
    ("snli", "format_samples/snli_plain_text", {"train": 3, "dev": 2, "test": 1}),
    ("story-cloze", "format_samples/story_cloze_2016", {"train": 4, "dev": 1, "test": 5}),
    ("race", "format_samples/race_all", {"train": 22, "dev": 17, "test": 22}),
    ("race-high", "format_samples/race_all", {"train": 12, "dev": 6, "test": 8}),
    ("cnn-dm", "cnn_dm", {"train": 6, "dev": 1, "test": 1}),
    ("copa", "copa-dev.xml", {"dev": 500}),
    ("squad", "squad_sample.json", {"dev": 14}),
    ("swag", "swag_sample.json", {"dev": 10}),
    ("xsum", "xsum_sample.json", {"dev": 10}),
    *(
        (task, f"kshot16/{folder}", {"train": 16 * classes, "dev": 16 * classes})
        for task, folder, classes in (
            ("cola", "CoLA", 2),
            ("mnli", "MNLI", 3),
            ("mrpc", "MRPC", 2),
            ("qqp", "QQP", 2),
            ("rte", "RTE", 2),
            ("snli", "SNLI", 3),
            ("sst2", "SST-2", 2),
            ("stsb", "STS-B", 2),
        )
    ),
)


@pytest.mark.parametrize(("task", "folder", "counts"), GENUINE, ids=[f"{t}-{f}" for t, f, _ in GENUINE])
def test_genuine_rows_are_read(task, folder, counts):
    path = genuine(folder)
    for split, count in counts.items():
        examples = TASKS[task].read(path, split)
        assert len(examples) == count, split
        for example in examples:
            assert isinstance(example, TASKS[task].kind)
            check(example, TASKS[task], labelled=not (split.startswith("test") and "glue" in folder and task != "mrpc"))


def check(example, task, labelled):
    """An example is complete, and none of its sentences holds a tab, a line end or outer white space."""
    for name, value in example._asdict().items():
        if isinstance(value, str) and name != "context" and task.name not in ("cnn-dm", "xsum"):
            assert value == value.strip() and "\t" not in value and "\n" not in value
    if task.labels:
        assert example.label in range(len(task.labels)) if labelled else example.label is None
    if hasattr(example, "options"):
        assert example.label in range(len(example.options)) and all(example.options)
    if hasattr(example, "score"):
        assert 0 <= example.score <= 5 if labelled else example.score is None
    if hasattr(example, "answers"):
        assert all(example.context[start:].startswith(text) for text, start in example.answers)
        assert example.impossible == (not example.answers)


def test_both_formats_of_multi_nli_hold_the_same_pairs():
    folder = genuine("format_samples/multi_nli/multinli_1.0.zip/multinli_1.0")
    read = TASKS["mnli"].read
    for part in ("train", "dev_matched", "dev_mismatched"):
        tabs, objects = (folder / f"multinli_1.0_{part}.{suffix}" for suffix in ("txt", "jsonl"))
        first = read(tabs, "dev")
        assert first and read(objects, "dev")[: len(first)] == first  # of the objects a few more are at hand


def test_sixteen_of_each_class_are_read_as_such():
    for split in ("train", "dev"):
        labels = [example.label for example in TASKS["snli"].read(genuine("kshot16/SNLI"), split)]
        assert [labels.count(label) for label in range(3)] == [16, 16, 16]


def test_the_files_of_mrpc_share_no_pair():
    train, dev = (TASKS["mrpc"].read(genuine("format_samples/glue_mrpc"), split) for split in ("train", "dev"))
    assert not {(e.text, e.pair) for e in train} & {(e.text, e.pair) for e in dev}


def test_squad_with_its_paragraphs_is_squad_as_a_list(tmp_path):
    path = genuine("squad_sample.json")
    questions = json.loads(path.read_text(encoding="utf-8"))["data"]
    for q in questions:
        q["answers"] = [
            {"text": text, "answer_start": start}
            for text, start in zip(q["answers"]["text"], q["answers"]["answer_start"], strict=True)
        ]
        q["is_impossible"] = not q["answers"]
    nested = {"data": [{"title": "", "paragraphs": [{"context": q.pop("context"), "qas": [q]} for q in questions]}]}
    (tmp_path / "dev-v2.0.json").write_text(json.dumps(nested), encoding="utf-8")
    assert TASKS["squad"].read(tmp_path, "dev") == TASKS["squad"].read(path, "dev")


def genuine(name):
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"the genuine rows {path} are not there")
    return path
