"""That counting words finds what words do tell: the judge of the tasks is judged."""

import itertools

import pytest

from minigpt.core.errors import UserError
from minigpt.data.storyworld.lexicon import GLAD, SMILED
from minigpt.lab import baselines
from minigpt.lab.baselines import count_words, simplest
from minigpt.tasks.examples import Classification, LastWord, MultipleChoice, Similarity, Span, Summary, Translation
from minigpt.tasks.world import MADE


def some(name, count):
    return list(itertools.islice(MADE[name].examples(0, "train"), count))


def test_all_words_find_a_word_that_tells():
    examples = [
        Classification(f"It was {w} on day {i}.", None, int(w == "good")) for i in range(40) for w in ("good", "bad")
    ]
    assert count_words(examples[:60], examples[60:], "words") == 1.0
    assert count_words(examples[:60], examples[60:], "overlap") < 0.8


def test_the_ending_alone_finds_stories_that_all_end_well():
    """The same stories without the swap, only those with a glad right ending: what most made-up tests look like."""
    glad = (*(f"was {feeling}" for feeling in GLAD), *SMILED)
    fair = some("story-cloze", 900)
    leaky = [e for e in fair if any(word in e.options[e.label] for word in glad)]
    assert len(leaky) > 200
    assert count_words(leaky[:-100], leaky[-100:], "alone") > 0.95
    assert count_words(fair[:800], fair[800:], "alone") < 0.65


def test_shared_words_find_an_answer_that_is_copied_from_the_context():
    animals = ("cat", "dog", "hen", "cow", "pig", "owl")
    examples = [
        MultipleChoice(
            f"There was a {a}.", "", (f"It was the {a}.", f"It was the {b}.")[:: 1 if i % 2 else -1], 1 - i % 2
        )
        for i, (a, b) in enumerate(itertools.permutations(animals, 2))
    ]
    assert count_words(examples[:20], examples[20:], "overlap") == 1.0
    assert count_words(examples[:20], examples[20:], "words") < 0.8


def test_the_simplest_answers_need_no_model():
    name, scores = simplest([], [Similarity("A red dog.", "A red cat.", 4.0), Similarity("A dog.", "No hen", 0.0)])
    assert name == "shared words" and scores == [0.75, 0.0]
    words = [LastWord("a", "dog"), LastWord("a", "cat"), LastWord("the", "dog")]
    assert simplest(words, words[:2]) == ("most frequent word", ["dog", "dog"])
    spans = [Span("1", "Who?", "A dog ran.", (("A dog", 0),), False)]
    assert simplest(spans, spans) == ("most frequent answer", ["A dog"])
    assert simplest([], [Summary("One is. Two?\nThree! Four.", "")]) == ("Lead-3", ["One is.\nTwo?\nThree!"])
    assert simplest([], [Translation("der Hund", "the dog")]) == ("copy", ["der Hund"])
    with pytest.raises(UserError, match="count words instead"):
        simplest([], [Classification("A", None, 0)])


def test_what_cannot_be_counted_is_one_sentence(monkeypatch):
    words = [LastWord("the", "dog")]
    with pytest.raises(UserError, match="only where there are classes or options"):
        count_words(words, words, "words")
    monkeypatch.setattr(baselines, "import_module", missing)
    with pytest.raises(UserError, match="needs scikit-learn"):
        count_words(words, words, "words")


def missing(name):
    raise ImportError(name)
