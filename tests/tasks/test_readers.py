"""What readers make of well-formed files, on rows written for the purpose."""

import hashlib
import json

import pytest

from minigpt.core.errors import UserError
from minigpt.tasks import TASKS, Classification, LastWord, MultipleChoice, Pronoun, Similarity, Span, Summary
from minigpt.tasks.examples import Story, Translation
from minigpt.tasks.readers.stories import gpt_split, read_rocstories


def put(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))
    return path


def test_quotes_and_odd_line_separators_are_characters_like_any_other(tmp_path):
    put(tmp_path, "train.tsv", 'sentence\tlabel\n"a quote that never ends \t1\none\u2028two\x85three\x0bfour\t0\n')
    assert TASKS["sst2"].read(tmp_path, "train") == [
        Classification('"a quote that never ends', None, 1),
        Classification("one\u2028two\x85three\x0bfour", None, 0),
    ]


def test_cola_has_a_header_in_its_test_part_only(tmp_path):
    put(tmp_path, "CoLA/train.tsv", "me01\t1\t\tThe pot boils.\nme01\t0\t*\tPot the boils.\n")
    put(tmp_path, "CoLA/test.tsv", "index\tsentence\n0\tThe kettle boils.\n")
    read = TASKS["cola"].read
    assert read(tmp_path, "train") == read(tmp_path / "CoLA", "train")
    assert [e.label for e in read(tmp_path, "train")] == [1, 0]
    assert read(tmp_path, "test") == [Classification("The kettle boils.", None, None)]


MRPC = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"


def mrpc_rows(count):
    return MRPC + "".join(f"{i % 2}\t{i}\t{100 + i}\tSay {i}.\tTell {i}.\r\n" for i in range(count))


def test_mrpc_is_made_of_the_original_and_the_list_of_dev_ids(tmp_path):
    put(tmp_path, "msr_paraphrase_train.txt", mrpc_rows(6))
    put(tmp_path, "msr_paraphrase_test.txt", mrpc_rows(2))
    put(tmp_path, "dev_ids.tsv", "4\t104\n1\t101\n3\t999\n")
    read = TASKS["mrpc"].read
    assert [e.text for e in read(tmp_path, "dev")] == ["Say 1.", "Say 4."]
    assert [e.text for e in read(tmp_path, "train")] == ["Say 0.", "Say 2.", "Say 3.", "Say 5."]
    assert read(tmp_path, "test") == [Classification("Say 0.", "Tell 0.", 0), Classification("Say 1.", "Tell 1.", 1)]


def test_mrpc_without_the_list_gets_a_part_of_its_own(tmp_path):
    put(tmp_path, "msr_paraphrase_train.txt", mrpc_rows(40))
    put(tmp_path, "test.tsv", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\tA.\tB.\n")  # all that GLUE gives now
    train, dev = (TASKS["mrpc"].read(tmp_path, split) for split in ("train", "dev"))
    assert (len(train), len(dev)) == (36, 4) and not set(train) & set(dev)
    assert dev == TASKS["mrpc"].read(tmp_path, "dev")
    assert TASKS["mrpc"].read(tmp_path, "test") == [Classification("A.", "B.", None)]


QQP = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
STSB = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"


def test_rows_of_qqp_without_six_fields_are_left_out_in_train_and_dev_only(tmp_path):
    rows = QQP + "1\t1\t2\tWhy?\tHow?\t0\n2\t3\t4\tWhat\n is it?\tWho?\t1\n5\t6\t7\tWhen?\tOn which day?\t1\n"
    put(tmp_path, "dev.tsv", rows)
    assert [e.text for e in TASKS["qqp"].read(tmp_path, "dev")] == ["Why?", "When?"]
    put(tmp_path, "test.tsv", "id\tquestion1\tquestion2\n0\tWhy?\n")
    with pytest.raises(UserError, match=r"test\.tsv, line 2: there are 2 fields, but 3 columns"):
        TASKS["qqp"].read(tmp_path, "test")


def test_qqp_and_stsb_may_lie_in_each_others_folder(tmp_path):
    put(tmp_path, "QQP/dev.tsv", STSB + "0\tg\tf\t2020\t1\tn\tn\tA cat sits.\tA cat is sitting.\t4.8\n")
    put(tmp_path, "STS-B/dev.tsv", QQP + "1\t1\t2\tWhy?\tHow?\t0\n")
    assert TASKS["qqp"].read(tmp_path, "dev") == [Classification("Why?", "How?", 0)]
    assert TASKS["stsb"].read(tmp_path, "dev") == [Similarity("A cat sits.", "A cat is sitting.", 4.8)]
    with pytest.raises(UserError, match=r"dev\.tsv, line 1: .*is it QQP\?"):
        TASKS["stsb"].read(tmp_path / "STS-B", "dev")


def test_the_original_quora_release_has_quotes_and_no_parts(tmp_path):
    rows = "".join(f'{i}\t1\t2\t"Is ""{i}""\ta\nnumber?"\tIs it {i}?\t{i % 2}\n' for i in range(20))
    path = put(tmp_path, "quora_duplicate_questions.tsv", QQP + rows)
    parts = [TASKS["qqp"].read(tmp_path, split) for split in ("train", "dev", "test")]
    assert [len(part) for part in parts] == [16, 2, 2]
    assert sorted(example for part in parts for example in part) == sorted(TASKS["qqp"].read(path, "train"))
    assert TASKS["qqp"].read(path, "train")[3] == Classification('Is "3"\ta\nnumber?', "Is it 3?", 1)
    comma = put(tmp_path, "kaggle/train.csv", QQP.replace("\t", ",") + '1,1,2,"Why, then?",How?,0\n')
    assert TASKS["qqp"].read(comma, "train") == [Classification("Why, then?", "How?", 0)]


def test_the_original_sts_benchmark_has_tabs_and_sometimes_more_columns(tmp_path):
    put(tmp_path, "sts-dev.csv", 'g\tf\t2020\t1\t2.5\tA "cat.\tA dog.\ng\tf\t2020\t2\t0\tOne.\tTwo.\tmore\tthan that\n')
    assert TASKS["stsb"].read(tmp_path, "dev") == [
        Similarity('A "cat.', "A dog.", 2.5),
        Similarity("One.", "Two.", 0.0),
    ]


def mnli_header(labels):
    names = ["index", "promptID", "pairID", "genre", "s1b", "s2b", "s1p", "s2p", "sentence1", "sentence2"]
    return "\t".join(names + [f"label{n + 1}" for n in range(labels)] + ["gold_label"]) + "\n"


def test_mnli_has_twelve_columns_or_sixteen(tmp_path):
    row = "0\t1\t2\tg\t.\t.\t.\t.\tA man sleeps.\tNobody sleeps. \t"
    put(tmp_path, "train.tsv", mnli_header(1) + row + "neutral\tneutral\n")
    put(tmp_path, "dev_matched.tsv", mnli_header(5) + row + "neutral\t" * 5 + "contradiction\n")
    put(tmp_path, "dev_mismatched.tsv", mnli_header(5) + row + "neutral\t" * 5 + "entailment\n")
    read = TASKS["mnli"].read
    labels = [read(tmp_path, split)[0].label for split in ("train", "dev", "dev-mismatched")]
    assert [TASKS["mnli"].labels[label] for label in labels] == ["neutral", "contradiction", "entailment"]
    assert read(tmp_path, "train")[0].pair == "Nobody sleeps."


def test_pairs_without_agreement_are_left_out(tmp_path):
    header = "gold_label\ts1b\ts2b\ts1p\ts2p\tsentence1\tsentence2\tcaptionID\tpairID\tlabel1\tlabel2\n"
    rows = "-\t.\t.\t.\t.\tA.\tB.\tc\tp\tneutral\tentailment\nneutral\t.\t.\t.\t.\tC.\tD.\tc\tp\tneutral\n"
    put(tmp_path, "snli_1.0_dev.txt", header + rows)
    assert TASKS["snli"].read(tmp_path, "dev") == [Classification("C.", "D.", 1)]
    objects = [{"gold_label": gold, "sentence1": "C.", "sentence2": "D."} for gold in ("-", "neutral")]
    put(tmp_path, "jsonl/snli_1.0_dev.jsonl", "\n".join(map(json.dumps, objects)) + "\n")
    assert TASKS["snli"].read(tmp_path / "jsonl", "dev") == [Classification("C.", "D.", 1)]


def test_the_other_pairs_of_glue(tmp_path):
    put(tmp_path, "QNLI/dev.tsv", "index\tquestion\tsentence\tlabel\n0\tWho ran?\tThe dog ran.\tentailment\n")
    put(tmp_path, "RTE/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA dog ran.\tA cat ran.\tnot_entailment\n")
    put(tmp_path, "WNLI/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tIt ran.\tThe dog ran.\t1\n")
    put(tmp_path, "AX/AX.tsv", "index\tsentence1\tsentence2\n0\tA dog ran.\tA cat ran.\n")
    assert TASKS["qnli"].read(tmp_path, "dev") == [Classification("Who ran?", "The dog ran.", 0)]
    assert TASKS["rte"].read(tmp_path, "dev") == [Classification("A dog ran.", "A cat ran.", 1)]
    assert TASKS["wnli"].read(tmp_path, "dev") == [Classification("It ran.", "The dog ran.", 1)]
    assert TASKS["ax"].read(tmp_path, "test") == [Classification("A dog ran.", "A cat ran.", None)]
    with pytest.raises(UserError, match="has no train part"):
        TASKS["ax"].read(tmp_path, "train")


CLOZE = (
    "InputStoryid,InputSentence1,InputSentence2,InputSentence3,InputSentence4,"
    "RandomFifthSentenceQuiz1,RandomFifthSentenceQuiz2"
)


def cloze_rows(count, answers=True):
    rows = [f'{i},One {i}.,"Two, that is.",Three.,Four.,Yes {i}.,No {i}.' for i in range(count)]
    lines = [CLOZE + ",AnswerRightEnding" * answers, *(row + f",{1 + i % 2}" * answers for i, row in enumerate(rows))]
    return "\r\n".join(lines) + "\r\n"


def test_story_cloze_of_2018_and_its_test_part_without_answers(tmp_path):
    put(tmp_path, "cloze_test_val__winter2018-cloze_test_ALL_val - 1 - 1.csv", cloze_rows(10))
    put(tmp_path, "cloze_test_test__winter2018-cloze_test_ALL_test - 1.csv", cloze_rows(1, answers=False))
    read = TASKS["story-cloze"].read
    assert (len(read(tmp_path, "train")), len(read(tmp_path, "dev"))) == (8, 2)
    expected = MultipleChoice("One 0. Two, that is. Three. Four.", "", ("Yes 0.", "No 0."), None)
    assert read(tmp_path, "test") == [expected]
    put(tmp_path, "cloze_test_val__spring2016 - cloze_test_ALL_val.csv", cloze_rows(10))
    with pytest.raises(UserError, match="2016 and of 2018"):
        read(tmp_path, "dev")


def test_gpts_split_is_scikit_learns():
    model_selection = pytest.importorskip("sklearn.model_selection")
    train, dev = gpt_split(list(range(1871)))
    expected = model_selection.train_test_split(list(range(1871)), test_size=374, random_state=3535999445)
    assert [train, dev] == expected and (len(train), len(dev)) == (1497, 374)


def test_rocstories(tmp_path):
    header = "storyid,storytitle,sentence1,sentence2,sentence3,sentence4,sentence5\n"
    path = put(tmp_path, "roc.csv", header + 'x,The Pot,A.,B.,"C, c.",D.,E.\n')
    assert read_rocstories(path) == [Story("The Pot", ("A.", "B.", "C, c.", "D.", "E."))]


def test_swags_table(tmp_path):
    header = ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3"
    row = "0,v,1,A man sits. He,A man sits.,He,gold,eats.,sleeps.,reads.,flies."
    put(tmp_path, "val.csv", f"{header},label\n{row},2\n")
    put(tmp_path, "test.csv", f"{header}\n{row}\n")
    options = ("He eats.", "He sleeps.", "He reads.", "He flies.")
    assert TASKS["swag"].read(tmp_path, "dev") == [MultipleChoice("A man sits.", "", options, 2)]
    assert TASKS["swag"].read(tmp_path, "test")[0].label is None


def test_cbt(tmp_path):
    sentences = "".join(f"{i} Sentence {i} .\n" for i in range(1, 21))
    question = "21 The XXXXX ran .\tdog\t\t" + "cat|dog|cow|hen|pig|owl|fox|ant|bee|ram" + "\n"
    put(tmp_path, "cbtest_CN_valid_2000ex.txt", f"{sentences}{question}\n{sentences}{question}")
    first, second = TASKS["cbt-cn"].read(tmp_path, "dev")
    assert first == second and first.context.startswith("Sentence 1 . Sentence 2 .")
    assert first.question == "The XXXXX ran ." and first.label == 1 and len(first.options) == 10


def test_race_in_the_order_of_its_files_with_both_kinds_of_questions(tmp_path):
    for number in (10, 9):
        questions = {"questions": [f"Who is {number}?", "It is _ ."], "options": [list("abcd")] * 2}
        value = {"article": "A text.", **questions, "answers": ["B", "D"], "id": f"middle{number}.txt"}
        put(tmp_path, f"RACE/dev/middle/{number}.txt", json.dumps(value))
    examples = TASKS["race-middle"].read(tmp_path, "dev")
    assert [e.question for e in examples] == ["Who is 9?", "It is _ .", "Who is 10?", "It is _ ."]
    assert examples[0] == MultipleChoice("A text.", "Who is 9?", ("a", "b", "c", "d"), 1)
    with pytest.raises(UserError, match=r"there is no folder .*high"):
        TASKS["race"].read(tmp_path, "dev")


def test_race_as_lines_of_questions_or_of_articles(tmp_path):
    """One question a line as `example_id, article, question, options, answer`, or one article a line as released."""
    one = {"article": "A text.", "question": "It is _ .", "options": list("abcd")}
    rows = [
        {"example_id": "high19088.txt", **one, "answer": "D"},
        {"example_id": "middle7.txt", **one, "answer": "A"},
        {"id": "high3.txt", "article": "B.", "questions": ["Who?", "Why?"], "options": [list("efgh")] * 2}
        | {"answers": ["B", "C"]},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    for name, split in [("train.jsonl", "train"), ("validation.jsonl", "dev"), ("RACE/test.jsonl", "test")]:
        put(tmp_path, name, text)
        every = TASKS["race"].read(tmp_path, split)
        assert every[0] == MultipleChoice("A text.", "It is _ .", ("a", "b", "c", "d"), 3)
        assert [(e.question, e.label) for e in every] == [("It is _ .", 3), ("It is _ .", 0), ("Who?", 1), ("Why?", 2)]
        assert TASKS["race-middle"].read(tmp_path, split) == every[1:2]
        assert TASKS["race-high"].read(tmp_path, split) == [every[0], *every[2:]]
    assert TASKS["race"].read(tmp_path / "train.jsonl", "dev") == every
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"has no test part: there is neither a folder test in it nor test\.jsonl"):
        TASKS["race"].read(empty, "test")


def squad(*questions, context="In May the dog ran."):
    return json.dumps({"version": "1.1", "data": [{"paragraphs": [{"context": context, "qas": list(questions)}]}]})


def test_squads_answers_stand_where_they_are_said_to_or_just_beside(tmp_path):
    answers = [{"text": "May", "answer_start": 3}, {"text": "the dog", "answer_start": 6}]
    put(tmp_path, "train-v1.1.json", squad({"id": "q", "question": "When?", "answers": answers}))
    [example] = TASKS["squad"].read(tmp_path, "train")
    assert example == Span("q", "When?", "In May the dog ran.", (("May", 3), ("the dog", 7)), False)
    put(tmp_path, "dev-v2.0.json", squad({"id": "q", "question": "Who?", "answers": [], "is_impossible": True}))
    assert TASKS["squad"].read(tmp_path, "dev")[0].impossible


def test_lambadas_word_follows_the_last_space(tmp_path):
    put(tmp_path, "lambada_test.jsonl", json.dumps({"text": "He said \u2028 that\nit was her dog "}) + "\n")
    assert TASKS["lambada"].read(tmp_path, "test") == [LastWord("He said \u2028 that\nit was her", "dog")]


def test_dprds_pronoun_is_the_first_of_its_kind(tmp_path):
    put(
        tmp_path,
        "train.c.txt",
        "Tom thanked Ben as he knew he won.\nhe\nTom,Ben\nBen\n\nA cat bit it.\nit\nA cat,ham\nham\n",
    )
    first, second = TASKS["dprd"].read(tmp_path, "train")
    assert first == Pronoun("Tom thanked Ben as ", "he", " knew he won.", ("Tom", "Ben"), 1)
    assert second == Pronoun("A cat bit ", "it", ".", ("A cat", "ham"), 1)


def test_winograd_schemas_are_put_together_with_their_spaces(tmp_path):
    text = "<text><txt1>\n The cup does not fit the bag as </txt1><pron> it </pron><txt2> is small. </txt2></text>"
    answers = "<answers><answer>the cup</answer><answer>the bag</answer></answers><correctAnswer> B. </correctAnswer>"
    put(tmp_path, "WSCollection.xml", f"<collection>\n<schema>{text}{answers}</schema>\n</collection>")
    [example] = TASKS["winograd"].read(tmp_path, "test")
    assert "".join(example[:3]) == "The cup does not fit the bag as it is small."
    assert example.candidates[example.label] == "the bag"


def test_highlights_make_the_summary_and_lists_of_addresses_the_parts(tmp_path):
    story = "(XYZ) -- First.\n\nSecond.\n\n@highlight\n\nOne thing\n\n@highlight\n\nAnother\n"
    names = [hashlib.sha1(f"http://example.org/{i}".encode()).hexdigest() for i in range(3)]
    for name in names:
        put(tmp_path, f"cnn/stories/{name}.story", story)
    put(tmp_path, "all_test.txt", "http://example.org/1\n")
    put(tmp_path, "all_train.txt", "http://example.org/0\nhttp://example.org/2\n")
    read = TASKS["cnn-dm"].read
    assert read(tmp_path, "test") == [Summary("(XYZ) -- First.\nSecond.", "One thing\nAnother")]
    assert len(read(tmp_path, "train")) == 2


def test_translations_from_one_file_or_two(tmp_path):
    put(tmp_path, "a/train.tsv", "the dog\tder Hund\n")
    put(tmp_path, "b/train.source", "the dog\nthe cat\n"), put(tmp_path, "b/train.target", "der Hund\ndie Katze\n")
    put(tmp_path, "c/valid.en-de.en", "the dog\n"), put(tmp_path, "c/valid.en-de.de", "der Hund\n")
    read = TASKS["translation"].read
    assert read(tmp_path / "a", "train") == [Translation("the dog", "der Hund")]
    assert read(tmp_path / "b", "train")[1] == Translation("the cat", "die Katze")
    assert read(tmp_path / "c", "dev") == [Translation("the dog", "der Hund")]
