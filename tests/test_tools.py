"""What the tools count is what is there."""

import importlib.util
import re
import tomllib
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

from minigpt.data.storyworld import stream
from minigpt.data.storyworld.documents import split_of
from minigpt.data.storyworld.engine import Drawing

ROOT = Path(__file__).resolve().parents[1]
SOURCE = '''"""A module
of two lines."""

import math  # one


def area(r):  # two
    """Of a circle."""
    # what follows is a string, and no docstring
    text = """three
four"""

    return (  # five
        # a comment
        math.pi * r**2  # six
    )  # seven


class Empty:  # eight
    "Nothing."
'''


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_lines_of_code_are_those_without_comments_and_docstrings():
    lines = tool("lines")
    assert lines.code_lines(SOURCE) == 8 and lines.code_lines("") == 0 and lines.code_lines('"""Only this."""\n') == 0
    assert lines.folder_of(lines.PACKAGE / "data/storyworld/text.py") == "data/storyworld"
    assert lines.folder_of(lines.PACKAGE / "tasks/world/cloze.py") == "tasks/world"
    assert lines.folder_of(lines.PACKAGE / "data/batch.py") == "data"
    assert lines.folder_of(lines.PACKAGE / "__main__.py") == ""


@pytest.mark.parametrize("file, most", [("train/loop.py", 100), ("tokenizers/plain_bpe.py", 60)])
def test_what_is_to_be_read_stays_short(file, most):
    lines = tool("lines")
    assert lines.code_lines((lines.PACKAGE / file).read_text(encoding="utf-8")) <= most


def test_a_speedrun_is_on_texts_of_its_own(tmp_path):
    """One twentieth is of the split dev, and another seed, or the default corpus, has other texts."""
    speedrun = tool("speedrun")
    first, second = (speedrun.corpus(seed, tmp_path, 40).read_text().strip().split("\n\n") for seed in (0, 1))
    assert [split_of(text) for text in first] == ["train"] * 38 + ["dev"] * 2
    assert len(second) == 40 and len({*first} & {*second}) < 10


def test_a_speedrun_says_what_was_reached_and_in_how_much_of_the_time():
    speedrun = tool("speedrun")
    entry = [speedrun.Outcome(0.09, share, 100.0) for share in (0.81, 0.83, 0.84)]
    tiny = [speedrun.Outcome(0.1, 0.82, seconds) for seconds in (200.0, 250.0, 400.0)]
    text = speedrun.report(entry, tiny)
    assert "entry: 83.0% [81.0%, 84.0%] of the way, 0.0900 [0.0900, 0.0900] nats above the floor, 100" in text
    assert "time over tiny's: 0.40 [0.25, 0.50]\nreaches 82% of the way" in text
    assert "does not reach 82%" in speedrun.report([speedrun.Outcome(0.2, 0.7, 100.0)], [])


def test_the_functions_of_a_step_are_counted_without_its_evaluation():
    calls = tool("calls")
    loop, trainer = calls.loop_step().by_file(), calls.trainer_step("fast").by_file()
    assert loop["minigpt/train/loop.py"] == ["train"]
    assert {"attention_forward", "attention_backward"} <= set(loop["minigpt/ops/attention.py"])
    assert {"attention_forward", "attention_backward"} <= set(trainer["minigpt/fast/attention.py"])
    assert "window_batches" not in loop["minigpt/data/dataset.py"]
    assert "minigpt/ops/attention.py" not in trainer and "Stepper.make" in trainer["minigpt/train/stepper.py"]
    assert "AdamW.__init__" not in loop["minigpt/train/optimizer.py"]
    assert sum(map(len, loop.values())) < sum(map(len, trainer.values()))


def test_mutants_that_are_no_faults_still_name_lines_of_code():
    listed = tomllib.loads((ROOT / "tools" / "mutants-equivalent.toml").read_text(encoding="utf-8"))["mutant"]
    for mutant in listed:
        lines = (ROOT / mutant["file"]).read_text(encoding="utf-8").splitlines()
        assert mutant["before"].strip() in [line.strip() for line in lines], mutant["file"]
        assert mutant["after"] != mutant["before"] and mutant["reason"]
    assert len(listed) > 20


def last_told(report: str, question: str) -> str:
    """The answer, from the words of the report alone: what its last sentence says that speaks of the thing or place."""
    sentences = [sentence.removesuffix(".").split() for sentence in report.split(". ")]
    *_, asked = question.removesuffix("?").split()
    about = [words for words in sentences if asked in words]
    if question.startswith("Who"):
        words = about[-1]
        return words[-1] if "gave" in words else words[words.index("the") - 2]
    words = [words for words in about if "gave" not in words][-1]
    return f"the {words[-1]}" if question.startswith("Where") else f"the {words[words.index('the') + 1]}"


def test_questions_about_reports_have_the_answers_that_their_words_give():
    reports = tool("reports")
    texts = list(reports.report_texts(40, 3))
    assert len(texts) == 40
    found = [(text.split("\n")[0], *pair) for text in texts for pair in re.findall(r"Q: (.*)\nA: (.*)", text)]
    assert len(found) > 100
    for report, question, answer in found:
        assert last_told(report, question) == answer, (report, question)
    examples = list(reports.asked(8))
    assert {"where", "who", "claim"} <= {kind for kind, *_ in examples}
    for kind, text, options, right in examples:
        if kind != "claim":
            report, question = text.removesuffix("\nA:").split("\nQ: ")
            assert last_told(report, question) == options[right]


def test_a_claim_about_two_things_is_true_where_the_words_say_so():
    found = list(islice(tool("reports").pairs(0, "train"), 60))
    for example in found:
        thing, place = example.pair.removesuffix(".").split()[1], example.pair.removesuffix(".").split()[-1]
        assert (last_told(example.text, f"Where is the {thing}?") == f"the {place}") == (example.label == 0)
        assert place in example.text  # so the place alone does not tell
    assert {example.label for example in found} == {0, 1}


def test_retold_reports_say_what_the_words_of_the_report_say():
    retold, counts = tool("retold"), {"state": 0, "claim": 0, "event": 0}
    for seed, document in enumerate(islice(stream(5, "train", "question"), 60)):
        r, c = document.facts.source, Drawing(seed)
        report = " ".join(r.sentences)
        if stated := re.fullmatch(r"The (\w+) is \w+ the (\w+)\.", retold.state(c, r)):
            assert last_told(report, f"Where is the {stated[1]}?") == f"the {stated[2]}"
            counts["state"] += 1
        claim, answer = re.fullmatch(r"\nquestion: (.*) True or False\?\nanswer: (.*)\n", retold.claim(c, r)).groups()
        if asked := re.fullmatch(r"The (\w+) is (not )?\w+ the (\w+)\.", claim):
            right = last_told(report, f"Where is the {asked[1]}?") == f"the {asked[3]}"
            assert answer == str(right != bool(asked[2]))
            counts["claim"] += 1
        if told := re.fullmatch(r"(\w+) (?:took|carried|brought) the (\w+) to the (\w+)\.", claim):
            happened = any({*told.groups()} <= {*re.findall(r"\w+", sentence)} for sentence in r.sentences)
            assert answer == str(happened)
            counts["event"] += 1
    assert min(counts.values()) > 8, counts


def test_words_and_tables_come_again():
    retold = tool("retold")
    for text in islice(retold.repeated(3), 5):
        said = text.split()
        assert any(said[n:] == said[:-n] for n in range(15, 41))
    for text in islice(retold.tables(3), 20):
        if "." in text:
            lines = text.removesuffix(".").split(". ")
            assert 3 <= len(set(lines)) <= 4 and len(lines) > 10
            assert len({line.split()[0] for line in lines}) == len(set(lines))  # one place for each thing
