"""Beam search on a model small enough to try every text, and what its settings promise."""

import itertools

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.generate.beam import PENALTIES, Search, best, generate
from minigpt.generate.processors import processors
from minigpt.generate.settings import generation

EOS, START, VOCAB = 0, 1, 5


class TableState:
    """The last two tokens of every text."""

    def __init__(self, last, row):
        self.last, self.row = last, row

    def reorder(self, rows):
        return TableState(self.last[rows], self.row[rows])


class TableModel:
    """The next token's scores are looked up by row of the batch and the last two tokens."""

    def __init__(self, rows=3, seed=0):
        self.table = 2 * np.random.default_rng(seed).standard_normal((rows, VOCAB, VOCAB, VOCAB))

    def start(self, rows):
        return TableState(np.zeros((len(rows), 2), dtype=int), np.asarray(rows))

    def step(self, params, ids, state):
        for column in ids.T:
            last = np.stack([state.last[:, 1], column], axis=1)
            state = TableState(last, state.row)
        return self.table[state.row, last[:, 0], last[:, 1]], state

    def log_probability(self, row, text):
        total, before = 0.0, 0
        for last, token in itertools.pairwise(text):
            z = self.table[row, before, last]
            total += z[token] - np.log(np.exp(z).sum())
            before = last
        return total


class Flat:
    flat = np.zeros(1)


def search(model, rows=(0, 1, 2), forbidden=None, **settings):
    """What is found; `forbidden` are settings of generation that change the scores."""
    prompt, found = np.full((len(rows), 1), START), Search(**settings)
    g = generation(forbidden or {}, {"eos_token_id": EOS})
    steps = processors(g, prompt=1, longest=found.max_length, source=prompt, real=None, vocab_size=VOCAB)
    return generate(model, Flat, model.start(rows), prompt, found, eos=EOS, steps=steps)


def every_text(max_length):
    """All texts that end with the only end-of-text in them, or at the maximal length without one."""
    for length in range(1, max_length):
        for tokens in itertools.product(range(VOCAB), repeat=length):
            if EOS not in tokens[:-1] and (tokens[-1] == EOS or length == max_length - 1):
                yield [START, *tokens]


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_enough_beams_find_the_best_of_all_texts(penalty, alpha):
    model = TableModel()
    settings = {"beams": VOCAB**4, "max_length": 5, "penalty": penalty, "length_penalty": alpha}
    for row, found in enumerate(search(model, early_stopping="never", **settings)):
        scores = {}
        for text in every_text(5):
            scores[tuple(text)] = model.log_probability(row, text) / PENALTIES[penalty](len(text) - 1, alpha)
        expected = max(scores, key=scores.get)
        assert found.ids == list(expected) and found.score == pytest.approx(scores[expected], abs=1e-12)


def test_the_penalties_are_the_published_ones():
    assert PENALTIES["length"](7, 2.0) == 49
    assert PENALTIES["gnmt"](7, 0.6) == pytest.approx(2**0.6)


@pytest.mark.parametrize("beams", [1, 2, 3])
@pytest.mark.parametrize("early_stopping", [True, False, "never"])
def test_a_batch_is_searched_like_its_rows(beams, early_stopping):
    for seed in range(10):
        model = TableModel(rows=6, seed=seed)
        settings = {"beams": beams, "max_length": 9, "early_stopping": early_stopping}
        together = search(model, range(6), **settings)
        assert together == [search(model, [row], **settings)[0] for row in range(6)]
        assert len({len(found.ids) for found in together}) > 1 or seed  # they do not all end at the same time


def test_greedy_takes_the_largest_and_ends_at_the_first_end():
    model = TableModel()
    for row, found in enumerate(search(model, beams=1, max_length=12)):
        text, before = [START], 0
        while len(text) < 12 and (len(text) == 1 or text[-1] != EOS):
            z = model.table[row, before, text[-1]]
            before = text[-1]
            text.append(int(z.argmax()))
        assert found.ids == text


@pytest.mark.parametrize("beams", [1, 3])
def test_lengths_and_forced_tokens(beams):
    model = TableModel()
    forced = {"min_length": 6, "forced_bos_token_id": 3, "forced_eos_token_id": EOS}
    for found in search(model, beams=beams, max_length=9, forbidden=forced):
        assert found.ids[1] == 3 and found.ids[-1] == EOS and EOS not in found.ids[:6]
        assert 7 <= len(found.ids) <= 9


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_no_ngram_repeats(beams, n):
    length = 5 if n == 1 else 14
    endless = {"min_length": length}
    plain = search(TableModel(), beams=beams, max_length=length, forbidden=endless)
    forbidden = endless | {"no_repeat_ngram_size": n}
    for found in search(TableModel(), beams=beams, max_length=length, forbidden=forbidden):
        grams = [tuple(found.ids[i : i + n]) for i in range(len(found.ids) - n + 1)]
        assert len(set(grams)) == len(grams)
    assert any(len(set(f.ids)) < len(f.ids) for f in plain)


def test_ties_go_to_the_first():
    scores = np.array([[1.0, 3.0, 2.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0, -np.inf]])
    assert best(scores, 2).tolist() == [[1, 3], [0, 1]]
    assert best(scores, 4).tolist() == [[1, 3, 4, 2], [0, 1, 2, 3]]
    model = TableModel()
    model.table[...] = 0.0
    for found in search(model, beams=3, max_length=4, forbidden={"min_length": 4}):
        assert found.ids == [START, 1, 1, 1]  # 0, the end, is ruled out: 1 is the first of the others


def test_stopping_early_ends_a_search_sooner():
    class Counting(TableModel):
        steps = 0

        def step(self, params, ids, state):
            self.steps += 1
            return super().step(params, ids, state)

    def steps(early_stopping, seed):
        model = Counting(rows=1, seed=seed)
        search(model, [0], beams=2, max_length=30, early_stopping=early_stopping)
        return model.steps

    counts = [[steps(early_stopping, seed) for early_stopping in (True, False, "never")] for seed in range(20)]
    assert all(a <= b <= c <= 29 for a, b, c in counts)
    assert any(a < b for a, b, _ in counts) and any(b < c for _, b, c in counts)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"beams": 0}, "at least 1 beam"),
        ({"penalty": "google"}, "'google'; choose one of length, gnmt"),
        ({"early_stopping": "always"}, "'always'"),
        ({"max_length": 1}, "leaves no room below 1 tokens"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        search(TableModel(), **settings)


def test_scores_that_are_not_finite_are_refused():
    model = TableModel()
    model.table[1, :, START, 2] = np.nan
    with pytest.raises(UserError, match="scores are not finite"):
        search(model)
