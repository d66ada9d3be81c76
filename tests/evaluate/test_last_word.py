"""Last words: whole words with the probability that they end, and the filter for stop words."""

import math

import numpy as np
import pytest

from minigpt import tokenizers
from minigpt.evaluate.last_word import STOP_WORDS, best_word, last_words
from minigpt.evaluate.scoring import log_softmax
from minigpt.interop.loaded import Loaded
from minigpt.models import GPT, GPTConfig
from minigpt.train.config import build_config

from .scripted import scripted


def tree(text: str) -> dict[str, float]:
    """After "sat on" comes " the" or " th…eme" or " mat", with the probabilities 0.6 · 0.6, 0.6 · 0.4 and 0.4."""
    written = text.partition("sat on")[2]
    chances = {
        "": {" ": 1.0},
        " ": {"t": 0.6, "m": 0.4},
        " t": {"h": 1.0},
        " th": {"e": 1.0},
        " the": {"m": 0.4, " ": 0.6},
        " them": {"e": 1.0},
        " theme": {".": 1.0},
        " m": {"a": 1.0},
        " ma": {"t": 1.0},
        " mat": {".": 0.5, "\n": 0.5},
    }
    return {c: 40 + math.log(p) for c, p in chances.get(written, {".": 1.0}).items()}


def test_a_word_has_the_probability_of_its_tokens_and_of_its_end():
    (words,) = last_words(scripted(tree), ["the cat sat on"])
    for word, p in {"mat": 0.4, "the": 0.36}.items():
        assert math.exp(words[word]) == pytest.approx(p, abs=1e-6)
    assert list(words)[:2] == ["mat", "the"]  # though "t" is the more probable beginning
    assert "theme" not in words  # "them" is already less probable than "mat"


def test_the_filter_leaves_stop_words_out():
    words = {"the": -0.1, "mat": -0.5}
    assert best_word(words) == "the" and best_word(words, STOP_WORDS) == "mat"
    assert best_word({"The": -0.1}, STOP_WORDS) == "" and best_word({}) == ""
    assert {"the", "of", "herself", "n't"} <= STOP_WORDS and not {"menu", "home", "cat"} & STOP_WORDS


def test_the_search_goes_on_until_a_word_that_is_no_stop_word_is_best():
    likely = {c: 40 + math.log(p) for c, p in {"t": 0.99, "m": 0.01}.items()}
    (words,) = last_words(scripted(lambda text: likely if text.endswith("on ") else tree(text)), ["the cat sat on"])
    assert best_word(words) == "the" and best_word(words, STOP_WORDS) == "theme"


def test_several_passages_are_searched_side_by_side():
    loaded = scripted(tree)
    contexts = ["the cat sat on", "a cat sat on ", "when the dog sat on"]
    for words, context in zip(last_words(loaded, contexts), contexts, strict=True):
        assert words == pytest.approx(last_words(loaded, [context])[0])


def test_what_begins_no_word_is_no_word():
    """ "cats" is another word than the passage has, not its next one."""
    for rule in (lambda text: {".": 40.0}, lambda text: {"s" if text.endswith("cat") else ".": 40.0}):
        (words,) = last_words(scripted(rule), ["the cat"])
        assert max(words.values(), default=-99.0) < -30.0


def test_equals_an_exhaustive_search_on_a_real_model():
    """All words of up to three letters over a small vocabulary, added up token by token."""
    tokenizer = tokenizers.CharTokenizer("ab .")
    model = GPT(GPTConfig(vocab_size=4, context=32, layers=1, heads=1, width=8, init_std=0.5))
    loaded = Loaded(model, model.init(seed=4, dtype="float64"), tokenizer, build_config({"family": "gpt"}))
    (found,) = last_words(loaded, ["ab ba"])

    def log_p(text: str) -> np.ndarray:
        return log_softmax(loaded.logits([tokenizer.encode(text)])[0, -1])

    for word in ("a", "b", "ab", "ba", "aab"):
        text, total = "ab ba", 0.0
        for character in f" {word}":
            total += log_p(text)[tokenizer.encode(character)[0]]
            text += character
        total += np.logaddexp(*log_p(text)[tokenizer.encode(" .")])
        if word in found:
            assert found[word] == pytest.approx(total, abs=1e-9)
        else:  # given up: a better word was found before
            assert total <= max(found.values())
    assert len(found) >= 2
