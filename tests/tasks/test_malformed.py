"""A row that is not as its format says is refused in one sentence, with file and line."""

import json

import pytest

from minigpt.core.errors import UserError
from minigpt.tasks import TASKS
from tests.tasks.test_readers import CLOZE, MRPC, QQP, STSB, cloze_rows, mnli_header, put, squad

MNLI_ROW = "0\t1\t2\tg\t.\t.\t.\t.\tA.\tB.\t"
SNLI_HEADER = "gold_label\ts1b\ts2b\ts1p\ts2p\tsentence1\tsentence2\tcaptionID\tpairID\tlabel1\tlabel2\n"
RTE = "index\tsentence1\tsentence2\tlabel\n"
VAL = "cloze_test_val__spring2016 - cloze_test_ALL_val.csv"
DPRD = "Tom saw Ben and he ran.\n{}\n{}\n{}\n"
RACE = {"article": "A.", "questions": ["Q?"], "options": [list("abcd")], "answers": ["A"]}
COPA = '<copa-corpus>\n<item id="1" {}>\n<p>P.</p>\n<a1>A.</a1>{}\n</item>\n</copa-corpus>'
ASKS = 'asks-for="cause" most-plausible-alternative='
CBT = "".join(f"{i} S {i} .\n" for i in range(1, 21))

# task, split, file, its text, what the error says after the file's name
CASES = (
    ("cola", "train", "train.tsv", "me\t1\t\tGood.\nme\t1\tToo few.\n", "line 2: there are 3 fields instead of 4"),
    ("cola", "train", "train.tsv", "me\t1\t\tGood.\nme\t2\t\tOdd.\n", "line 2: the label is '2', not one of 0, 1"),
    ("cola", "dev", "dev.tsv", "index\tsentence\n0\tA.\n", "line 1: there are no labels"),
    ("cola", "train", "train.tsv", "me\t1\t\tGood.\n\nme\t1\t\tGood.\n", "line 2: the line is empty"),
    (
        "sst2",
        "dev",
        "dev.tsv",
        "sentence\tlabel\nfine\t1\nbad\tworse\t0\n",
        "line 3: there are 3 fields, but 2 columns",
    ),
    ("sst2", "dev", "dev.tsv", "sentence\tlabel\nfine\tyes\n", "line 2: the label is 'yes'"),
    ("sst2", "dev", "dev.tsv", "fine\t1\n", "line 1: there is no column sentence"),
    ("sst2", "dev", "dev.tsv", "index\tsentence\n0\tfine\n", "line 1: there are no labels"),
    ("sst2", "dev", "dev.tsv", "", "is empty"),
    ("mrpc", "train", "msr_paraphrase_train.txt", MRPC + "1\t2\t3\tA.\n", "line 2: there are 4 fields, but 5 columns"),
    ("mrpc", "test", "msr_paraphrase_test.txt", MRPC + "5\t2\t3\tA.\tB.\n", "line 2: the label is '5'"),
    ("qqp", "train", "train.tsv", QQP + "1\t1\t2\tA?\tB?\tyes\n", "line 2: the label is 'yes'"),
    (
        "qqp",
        "train",
        "quora_duplicate_questions.tsv",
        QQP + '1\t1\t2\t"A"?\tB?\t1\n',
        "line 2: this is not a row of a CSV file",
    ),
    (
        "qqp",
        "train",
        "quora_duplicate_questions.tsv",
        QQP + '1\t1\t2\t"A?\tB?\t1\n',
        "line 2: this is not a row of a CSV file (unexp",
    ),
    ("stsb", "dev", "dev.tsv", STSB + "0\tg\tf\ty\t1\tn\tn\tA.\tB.\t5.1\n", "line 2: the score 5.1 is not between"),
    ("stsb", "dev", "dev.tsv", STSB + "0\tg\tf\ty\t1\tn\tn\tA.\tB.\tnan\n", "line 2: the score nan is not between"),
    ("stsb", "dev", "sts-dev.csv", "g\tf\ty\t1\thigh\tA.\tB.\n", "line 1: the score 'high' is not a number"),
    ("stsb", "dev", "sts-dev.csv", "g\tf\ty\t1\t3.0\tA.\n", "line 1: there are 6 fields instead of 7 or more"),
    ("mnli", "train", "train.tsv", mnli_header(1) + MNLI_ROW + "neutral\n", "line 2: there are 11 fields, but 12"),
    ("mnli", "train", "train.tsv", mnli_header(1) + MNLI_ROW + "neutral\tmaybe\n", "line 2: the label is 'maybe'"),
    ("snli", "dev", "snli_1.0_dev.txt", SNLI_HEADER + "neutral\t.\t.\t.\t.\tA.\tB.\tc\n", "line 2: there are 8 fields"),
    ("snli", "dev", "snli_1.0_dev.jsonl", '{"gold_label": "neutral"}\n', "line 1: 'sentence1' is missing or not text"),
    ("snli", "dev", "snli_1.0_dev.jsonl", '\n{"gold_label": \n', "line 2: this is not JSON (Expecting value)"),
    ("snli", "dev", "snli_1.0_dev.jsonl", "[]\n", "line 1: this is not a JSON object"),
    ("qnli", "dev", "dev.tsv", RTE + "0\tA.\tB.\tentailment\n", "line 1: there is no column question"),
    ("rte", "dev", "dev.tsv", RTE + "0\tA.\tB.\tneutral\n", "line 2: the label is 'neutral'"),
    ("wnli", "dev", "dev.tsv", RTE + "0\tA.\tB.\tentailment\n", "line 2: the label is 'entailment'"),
    ("story-cloze", "dev", VAL, cloze_rows(1).replace("No 0.,1", "No 0.,3"), "line 2: the answer is '3'"),
    ("story-cloze", "dev", VAL, cloze_rows(1) + "x,A.,B.\r\n", "line 3: there are 3 fields, but 8 columns"),
    ("story-cloze", "dev", VAL, f"{CLOZE}\r\n", "line 1: there is no column AnswerRightEnding"),
    ("swag", "dev", "val.jsonl", '{"sent1": "A.", "sent2": "He", "label": 0}\n', "line 1: 'ending0' is missing"),
    (
        "swag",
        "dev",
        "val.csv",
        ",sent1,sent2,ending0,ending1,ending2,ending3,label\n0,A.,He,a,b,c,d,4\n",
        "line 2: the l",
    ),
    ("copa", "dev", "copa-dev.xml", COPA.format(ASKS + '"3"', "<a2>B.</a2>"), "line 2: the most plausible alternative"),
    ("copa", "dev", "copa-dev.xml", COPA.format(ASKS + '"1"', ""), "line 2: there are 0 elements <a2>"),
    ("copa", "dev", "copa-dev.xml", COPA.format('asks-for="reason"', "<a2>B.</a2>"), "line 2: the value of asks-for"),
    (
        "copa",
        "dev",
        "copa-dev.xml",
        "<copa-corpus>\n<item>\n</copa-corpus>",
        "line 3: this is not XML (mismatched tag)",
    ),
    ("cbt-cn", "dev", "cbtest_CN_valid_2000ex.txt", CBT + "21 A XXXXX .\tb\t\ta|c\n", "line 21: the answer is 'b'"),
    ("cbt-cn", "dev", "cbtest_CN_valid_2000ex.txt", CBT + "21 A .\tb\t\ta|b\n", "line 21: the sentence has no XXXXX"),
    ("cbt-cn", "dev", "cbtest_CN_valid_2000ex.txt", CBT + "22 A .\n", "line 21: sentence 21 of an example should"),
    ("cbt-cn", "dev", "cbtest_CN_valid_2000ex.txt", CBT, "line 20: the file ends after 20 of the 21"),
    ("race-high", "dev", "dev/high/1.txt", json.dumps(RACE | {"answers": ["E"]}), "line 1: the answer to question 1"),
    ("race-high", "dev", "dev/high/1.txt", json.dumps(RACE | {"options": [["a"]]}), "line 1: question 1 is not a text"),
    ("race-high", "dev", "dev/high/1.txt", json.dumps(RACE | {"answers": []}), "line 1: the numbers of 1 questions"),
    ("race-high", "dev", "dev/high/1.txt", json.dumps({**RACE, "article": None}), "line 1: 'article' is missing"),
    ("race", "dev", "dev.jsonl", "{}\n", "line 1: 'article' is missing or not text"),
    ("race", "dev", "dev.jsonl", json.dumps(RACE) + "\n[]\n", "line 2: this is not a JSON object"),
    (
        "race",
        "dev",
        "dev.jsonl",
        json.dumps({"article": "A.", "question": "Q?"}),
        "line 1: 'options' is missing",
    ),
    (
        "race-high",
        "dev",
        "dev.jsonl",
        json.dumps(RACE),
        "line 1: 'example_id' or 'id' should begin",
    ),
    ("race-high", "dev", "dev/high/1.txt", '{"article":\n "A.",}', "line 2: this is not JSON"),
    ("squad", "dev", "dev-v1.1.json", '{"data":\n[{"paragraphs": [{"qas": []}]}]}', "line 1: 'context' is missing"),
    (
        "squad",
        "dev",
        "dev-v1.1.json",
        squad({"question": "W?", "answers": [{"text": "May", "answer_start": 9}], "id": "q7"}).replace(
            '"id"', '\n"id"'
        ),
        "line 2: question q7: the answer 'May' does not stand at character 9",
    ),
    (
        "squad",
        "dev",
        "dev-v1.1.json",
        squad({"id": "q", "question": "W?", "answers": [{"text": "May", "answer_start": 3}], "is_impossible": True}),
        "line 1: question q is said to be impossible and has answers",
    ),
    ("lambada", "test", "lambada_test.jsonl", '{"text": "One"}\n', "line 1: the passage has no space"),
    ("lambada", "test", "lambada_test.jsonl", '{"txt": "One two"}\n', "line 1: 'text' is missing or not text"),
    ("dprd", "train", "train.c.txt", DPRD.format("she", "Tom,Ben", "Ben"), "line 2: the pronoun 'she' does not stand"),
    ("dprd", "train", "train.c.txt", DPRD.format("he", "Tom Ben", "Ben"), "line 3: there should be two candidates"),
    ("dprd", "train", "train.c.txt", DPRD.format("he", "Tom,Ben", "Bob"), "line 4: the answer is 'bob'"),
    ("dprd", "train", "train.c.txt", "Tom saw Ben and he ran.\nhe\n", "line 1: a block has 2 lines"),
    ("winograd", "test", "WSCollection.xml", "<c>\n<schema></schema></c>", "line 2: there are 0 elements <txt1>"),
    ("cnn-dm", "train", "train/a.story", "Text.\n", "line 1: the story has no @highlight"),
    ("cnn-dm", "train", "train/a.story", "T.\n\n@highlight\n\n@highlight\n\nH.\n", "line 3: there is no text after"),
    ("xsum", "test", "test.json", '{"document": "D."}\n', "line 1: 'summary' is missing"),
    ("translation", "train", "train.tsv", "the dog\tder Hund\nthe cat\n", "line 2: there are 1 fields instead of 2"),
)


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0]}-{case[4][:40]}" for case in CASES])
def test_a_malformed_row_is_refused_with_file_and_line(tmp_path, case):
    task, split, name, text, message = case
    put(tmp_path, name, text)
    with pytest.raises(UserError) as error:
        TASKS[task].read(tmp_path, split)
    assert str(error.value).startswith(str(tmp_path / name)) and message in str(error.value)


def test_two_files_of_different_length_do_not_belong_together(tmp_path):
    put(tmp_path, "train.src", "one\ntwo\n"), put(tmp_path, "train.tgt", "eins\n")
    with pytest.raises(UserError, match=r"train\.tgt, line 1: the file ends here, and train\.src goes on"):
        TASKS["translation"].read(tmp_path, "train")


def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path):
    (tmp_path / "dev.tsv").write_bytes(b"sentence\tlabel\nfine\t1\nna\xefve\t1\n")
    with pytest.raises(UserError, match=r"dev\.tsv, line 3: byte 2 is not UTF-8"):
        TASKS["sst2"].read(tmp_path, "dev")
    (tmp_path / VAL).write_bytes(cloze_rows(1).encode() + b"\xff,A\n")
    with pytest.raises(UserError, match="not UTF-8"):
        TASKS["story-cloze"].read(tmp_path, "dev")


@pytest.mark.parametrize("name", TASKS)
def test_a_folder_without_the_files_is_one_sentence(name, tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        for split in ("train", "dev", "test"):
            with pytest.raises(UserError, match=r"\w"):
                TASKS[name].read(folder, split)


def test_unknown_splits_are_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="there is no split 'validation'"):
        TASKS["rte"].read(tmp_path, "validation")
