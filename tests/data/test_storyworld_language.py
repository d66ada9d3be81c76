"""The invented language: translations can be undone, its words are told apart, and what is no sentence is refused."""

import itertools

import pytest

from minigpt.core.errors import UserError
from minigpt.data import storyworld
from minigpt.data.storyworld import engine
from minigpt.data.storyworld.language import (
    NAMES,
    STEMS,
    TENSES,
    Clause,
    Phrase,
    english,
    invented,
    sentence,
    translate,
    understand,
)


@pytest.mark.slow("test_golden.py, and the other tests of this file")
def test_every_translation_can_be_undone():
    seen = {}
    for key in range(3000):
        drawn = engine.draw(sentence, engine.mix(key))
        there = translate(drawn.text)
        assert understand(there) == drawn.value and english(drawn.value) == drawn.text
        assert seen.setdefault(there, drawn.text) == drawn.text  # no two sentences have one translation


def test_documents_hold_translations():
    for one in itertools.islice(storyworld.stream(0, kind="translation"), 50):
        assert one.text == "\n".join(f"{pair.english} = {pair.invented}" for pair in one.facts.pairs)
        assert all(translate(pair.english) == pair.invented for pair in one.facts.pairs)


def test_word_order_endings_and_agreement():
    dogs = Clause(Phrase("dog", True, True, "little"), "see", "past", Phrase("king", adjective="old"), "park")
    assert english(dogs) == "The little dogs saw an old king in the park."
    dog, little, see, king, old, park = (STEMS[w] for w in ("dog", "little", "see", "king", "old", "park"))
    assert invented(dogs) == f"{park.capitalize()}el {dog}i {little}i ta {king}an {old}an {see}ok."
    anna = Clause(Phrase("Anna"), "find", "future", Phrase("mouse", True, True))
    assert english(anna) == "Anna will find the mice."
    assert invented(anna) == f"Anna {STEMS['mouse']}in ta {STEMS['find']}uk."
    for clause in (dogs, anna):
        assert understand(invented(clause)) == clause
    assert english(Clause(Phrase("mouse", True, True), "carry", "present", Phrase("king"))) == "The mice carry a king."


def test_no_two_words_look_alike():
    assert len(set(STEMS.values())) == len(STEMS) and "ta" not in STEMS.values()
    assert not {stem + end for stem in STEMS.values() for end in ("el", "a", "i", "an", "in", *TENSES.values())} & {
        name.lower() for name in NAMES
    }


@pytest.mark.parametrize(
    "text", ["", ".", "Anna", "Anna kil.", "Anna ta.", "Anna Bob vizok.", "anna kilan vizok.", "Kila vizok."]
)
def test_what_is_no_sentence_is_refused(text):
    with pytest.raises(UserError, match="no sentence of the invented language"):
        understand(text)


def test_english_outside_the_language_is_refused():
    with pytest.raises(UserError, match=r"this English sentence has no translation: 'Anna sleeps\.'"):
        translate("Anna sleeps.")
