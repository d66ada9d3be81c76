"""Tasks made from the story world: files that the readers of the originals read, parts without a text in common."""

import itertools
import re

import pytest

from minigpt.core.errors import UserError
from minigpt.data.storyworld import derivations, engine, language, lexicon, split_of
from minigpt.lab.baselines import count_words
from minigpt.tasks import TASKS
from minigpt.tasks.examples import Classification, Similarity
from minigpt.tasks.world import MADE, Sizes, source_text, task_folder, write
from minigpt.tasks.world.drawing import documents

from ..tiers import some

SMALL = Sizes(train=40, dev=8, test=8)


def drawn(name, count, split="train", seed=0):
    return list(itertools.islice(MADE[name].examples(seed, split), count))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    for name in MADE:
        write(folder / name, name, 3, SMALL)
    return folder


FORMATS = ["story-cloze", "rte", "race", "squad", "cnn-dm"]  # CSV, TSV, JSON in files, JSON, stories


@pytest.mark.parametrize("name", some(MADE, FORMATS, "the same for one task of each format"))
def test_the_originals_reader_reads_what_was_made(name, written):
    parts = {part: TASKS[name].read(written / name, part) for part in MADE[name].parts}
    for part, examples in parts.items():
        assert len(examples) == getattr(SMALL, part.partition("-")[0])
        # RACE's reader goes by files, whose levels part the articles; SQuAD's answers are one of several references.
        made = drawn(name, 2 * len(examples), part, 3)
        assert all(example in made for example in examples)


@pytest.mark.parametrize("name", MADE)
def test_no_text_is_in_two_parts(name, written):
    texts = {part: {source_text(e) for e in TASKS[name].read(written / name, part)} for part in MADE[name].parts}
    for one, other in itertools.combinations(texts, 2):
        assert not texts[one] & texts[other]


@pytest.mark.parametrize("name", ["story-cloze", "mnli", "rte"])
def test_no_premise_is_in_two_parts(name, written):
    parts = [TASKS[name].read(written / name, part) for part in MADE[name].parts]
    premises = [{getattr(e, "context", getattr(e, "text", "")) for e in part} for part in parts]
    for one, other in itertools.combinations(premises, 2):
        assert not one & other


def test_a_task_is_a_function_of_its_seed(tmp_path, written):
    again, other = write(tmp_path / "a", "rte", 3, SMALL), write(tmp_path / "b", "rte", 4, SMALL)
    files = [[(p.name, p.read_bytes()) for p in sorted(f.iterdir())] for f in (again, other, written / "rte")]
    assert files[0] == files[2] and files[0] != files[1]


def test_documents_are_of_the_split_that_their_hash_says():
    for split in ("train", "dev", "test"):
        for document in itertools.islice(documents(0, split, "story", "x"), 3):
            assert split_of(document.text) == split


def test_tasks_are_made_in_the_cache_on_first_use(tmp_path, monkeypatch):
    assert task_folder("rte", tmp_path / "real") == tmp_path / "real"
    (tmp_path / "tasks" / "rte").mkdir(parents=True)  # as `minigpt data tasks --out tasks` writes them
    assert task_folder("rte", tmp_path / "tasks") == tmp_path / "tasks" / "rte"
    assert task_folder("cola", tmp_path / "tasks") == tmp_path / "tasks"
    monkeypatch.setattr("minigpt.tasks.world.write", lambda folder, name: write(folder, name, 0, SMALL))
    folder = task_folder("sst2")
    monkeypatch.setattr("minigpt.tasks.world.write", None)
    assert len(TASKS["sst2"].read(folder, "train")) == 40 and task_folder("sst2") == folder
    with pytest.raises(UserError, match="has no task 'copa'"):
        task_folder("copa")


LABELLED = [name for name in MADE if hasattr(TASKS[name].kind, "label")]
COUNTED = {"story-cloze": 5000, "rte": 5000, "mnli": 5000, "qnli": 5000, "mrpc": 2000, "qqp": 2000, "race": 2000}


@pytest.mark.slow("test_labels_are_balanced, and data/test_storyworld.py: no word tells")
@pytest.mark.parametrize("name", COUNTED)
def test_counting_words_does_not_solve_it(name):
    """After thousands of examples, neither all words help, nor those of the ending alone, nor those in common."""
    count = COUNTED[name]
    examples = drawn(name, count + 1000)
    classes = len(TASKS[name].labels) or len(examples[0].options)
    for view in ("words", "alone", "overlap"):
        assert count_words(examples[:count], examples[count:], view) <= 1 / classes + 0.05, view


@pytest.mark.parametrize("name", some(LABELLED, ["rte", "cola"], "the same for two tasks"))
def test_labels_are_balanced(name):
    examples = drawn(name, 2000)
    options = range(max(e.label for e in examples) + 1)
    for label in options:
        assert sum(e.label == label for e in examples) / 2000 == pytest.approx(1 / len(options), abs=0.045)


# That the labels are true, found again from the texts.


def test_the_world_could_have_written_the_right_ending_and_not_the_wrong_one():
    for example in drawn("story-cloze", 40):
        for i, option in enumerate(example.options):
            assert derivations(f"{example.context} {option}") == int(i == example.label)


def test_every_ending_is_right_as_often_as_wrong():
    glad = re.compile(rf"\b({'|'.join((*lexicon.GLAD, *lexicon.SMILED))})\b")
    examples = [e for e in drawn("story-cloze", 1500) if any(glad.search(option) for option in e.options)]
    right = sum(bool(glad.search(e.options[e.label])) for e in examples)
    assert len(examples) > 500 and right / len(examples) == pytest.approx(0.5, abs=0.05)


EVENT = re.compile(r"(\w+) (?:took|carried|brought) the (\w+) to the (\w+)")
PASSIVE = re.compile(r"[Tt]he (\w+) was (?:taken|carried|brought) to the (\w+) by (\w+)")


def events(sentence):
    active = {match.groups() for match in EVENT.finditer(sentence)}
    return active | {(who, thing, place) for thing, place, who in PASSIVE.findall(sentence)}


def test_paraphrases_tell_the_same_events():
    for example in drawn("mrpc", 200):
        assert len(events(example.text)) == 2
        assert (events(example.text) == events(example.pair)) == bool(example.label)
        assert {w for e in events(example.text) for w in e} == {w for e in events(example.pair) for w in e}


@pytest.mark.parametrize("part", ["train", "dev-mismatched"])
def test_hypotheses_follow_from_the_last_place_that_is_told(part):
    for example in drawn("mnli", 100, part):
        place_of = {thing: place for _, thing, place in EVENT.findall(example.text)}  # the last one counts
        thing, denied, place = re.fullmatch(r"The (\w+) is (not )?\w+ the (\w+)\.", example.pair).groups()
        assert f"the {thing}" in example.text and f"the {place}" in example.text
        if thing not in place_of:
            expected = "neutral"
        else:
            expected = "entailment" if (place_of[thing] == place) != bool(denied) else "contradiction"
        assert TASKS["mnli"].labels[example.label] == expected


def test_a_sentence_answers_the_question_whose_kind_it_is_of():
    for example in drawn("qnli", 100):
        about_place = example.text.startswith(("Where", "Which place"))
        assert (about_place == (" gave " not in example.pair)) == (example.label == 0)


def test_similarity_counts_the_parts_that_are_the_same():
    scores = [example.score for example in drawn("stsb", 600)]
    assert {score: scores.count(score) > 50 for score in range(6)} == dict.fromkeys(range(6), True)
    for example in drawn("stsb", 200):
        if example.score == 5.0:
            assert gift(example.text) == gift(example.pair)
        else:
            same = sum(a == b for a, b in zip(gift(example.text), gift(example.pair), strict=True))
            assert same == example.score


def gift(sentence):
    """Giver, taker, adjective, thing, place, whichever of the four wordings it is."""
    thing, place = r"[Tt]he (?P<a>\w+) (?P<t>\w+)", r"(?:[Ii]n|[Oo]n|[Aa]t) the (?P<p>\w+)"
    for wording in (
        rf"(?P<g>\w+) gave {thing} to (?P<k>\w+) {place}\.",
        rf"{place}, (?P<g>\w+) gave (?P<k>\w+) {thing}\.",
        rf"{thing} was given to (?P<k>\w+) by (?P<g>\w+) {place}\.",
        rf"(?P<k>\w+) got {thing} from (?P<g>\w+) {place}\.",
    ):
        if match := re.fullmatch(wording, sentence):
            return match.group("g", "k", "a", "t", "p")
    raise AssertionError(sentence)


def test_faulty_sentences_are_none_of_the_worlds():
    examples = drawn("cola", 600)
    good = {example.text for example in examples if example.label}
    faulty = [example.text for example in examples if not example.label]
    assert not good & set(faulty)
    for text in faulty:
        assert not engine.parse(language.sentence, text)
        assert text[0].isupper() and text.endswith(".")


def test_answers_stand_where_the_last_word_on_them_is_said():
    for example in drawn("squad", 200):
        [(text, start)] = example.answers
        assert example.context[start:].startswith(text)
        if match := re.fullmatch(r"Where is the (\w+)\?", example.question):
            last = [place for _, thing, place in EVENT.findall(example.context) if thing == match[1]][-1]
            assert text == f"the {last}"


def test_options_are_all_in_the_article_and_the_right_one_is_the_last_that_is_told():
    for example in drawn("race", 100):
        assert len(set(example.options)) == 4 and all(option in example.context for option in example.options)
        if match := re.fullmatch(r"(?:Where is|In the end,) the (\w+) (?:now\?|is at the _ \.)", example.question):
            last = [place for _, thing, place in EVENT.findall(example.context) if thing == match[1]][-1]
            assert example.options[example.label] == last


def test_last_words_were_there_before():
    for example in drawn("lambada", 100):
        assert re.search(rf"\b{example.word}\b", example.context)


def test_who_helps_wanted_to_and_who_is_helped_had_asked():
    for example in drawn("dprd", 100):
        told = re.match(r"(\w+) (lent|brought) (\w+) |(\w+) (?:got|was given) .* (?:from|by) (\w+),", example.before)
        helper, helped = (told[1], told[3]) if told[2] else (told[5], told[4])
        meant = helper if "wanted" in example.after or "kind" in example.after else helped
        assert example.candidates[example.label] == meant


def test_a_pair_of_schemas_differs_in_its_reason_alone():
    examples = drawn("winograd", 40, "test")
    for one, other in zip(examples[::2], examples[1::2], strict=True):
        assert one.before == other.before and one.candidates[one.label] != other.candidates[other.label]


def test_translations_are_the_worlds():
    for example in drawn("translation", 50):
        assert language.translate(example.source) == example.target


def test_pairs_and_single_texts_are_identified_by_all_that_is_read():
    assert source_text(Classification("A", "B", 0)) == source_text(Similarity("A", "B", 1.0)) == "A\nB"
