"""Scores of completions: by hand, alone and in batches, cut on the left, by every rule, and with a planted mistake."""

import math

import numpy as np
import pytest

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.evaluate import scoring
from minigpt.evaluate.scoring import Row, rate_options, score, score_rows, text_row
from minigpt.interop.loaded import Loaded
from minigpt.models import GPT, GPTConfig, Llama, LlamaConfig
from minigpt.train.config import build_config

from .bigrams import bigrams, sum_log_p

TEXT = "the cat sat on the mat. the dog sat on the cat. a cat ate the bat."


def random_model(family="gpt", context=24, dtype="float32"):
    if family == "gpt":
        model = GPT(GPTConfig(vocab_size=23, context=context, layers=2, heads=2, width=16, init_std=0.4))
    else:
        model = Llama(LlamaConfig(vocab_size=23, context=context, layers=2, heads=2, width=16, init_std=0.4))
    return Loaded(model, model.init(seed=3, dtype=dtype), None, build_config({"family": family}))


def random_rows(count=40, context=24, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        length = int(rng.integers(2, context + 5))
        start = int(rng.integers(max(1, length - 10), length))
        rows.append(Row(tuple(rng.integers(0, 23, length).tolist()), start))
    return rows


def test_by_hand():
    loaded, p = bigrams(TEXT)
    (scored,) = score(loaded, [("the c", "at.")])
    expected = [math.log(p[a][b]) for a, b in [("c", "a"), ("a", "t"), ("t", ".")]]
    np.testing.assert_allclose(scored.log_probabilities, expected, rtol=1e-12)
    assert scored.total == pytest.approx(sum_log_p(p, "cat."), rel=1e-12)
    assert (scored.tokens, scored.characters) == (3, 3)


def test_the_space_before_a_word_belongs_to_the_completion():
    loaded, p = bigrams(TEXT)
    with_space, moved = score(loaded, [("the", " cat"), ("the ", "cat")])
    assert with_space.total == pytest.approx(sum_log_p(p, "e cat"), rel=1e-12)
    np.testing.assert_array_equal(moved.log_probabilities, with_space.log_probabilities)
    assert with_space.characters == moved.characters == 3


def test_greedy_is_what_the_model_would_write():
    loaded, p = bigrams(TEXT)
    text = "c"
    while len(text) < 4:
        text += max(p[text[-1]], key=p[text[-1]].get)
    assert text == "cath"
    assert [s.greedy for s in score(loaded, [("a c", "ath"), ("a c", "at."), ("a c", "s")])] == [True, False, False]


def test_without_context_the_first_token_is_not_scored():
    loaded, p = bigrams(TEXT)
    (scored,) = score(loaded, [("", "cat")])
    assert scored.tokens == 2 and scored.total == pytest.approx(sum_log_p(p, "cat"), rel=1e-12)
    with pytest.raises(UserError, match="a text of one token has no log-probability"):
        score(loaded, [("", "c")])


def test_a_document_begins_after_its_end_of_text_token():
    tokenizer = tokenizers.train("bpe", [TEXT * 20], 270, special_tokens=["<|endoftext|>"])
    end = tokenizer.special_tokens["<|endoftext|>"]
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, context=32, layers=1, heads=1, width=8))
    for given, begin in (({"end_of_text": True}, (end,)), ({}, ())):
        config = build_config({"family": "gpt", "objective": given})
        loaded = Loaded(model, model.init(), tokenizer, config)
        row = text_row(loaded, "", "the cat")
        assert row == Row((*begin, *tokenizer.encode("the cat")), len(begin))
        assert text_row(loaded, "the", " cat").start == len(begin) + len(tokenizer.encode("the"))
    with_bos = Loaded(model, model.init(), tokenizer, build_config({"family": "gpt"}), {"bos_token_id": 7})
    assert text_row(with_bos, "", "the cat").ids[0] == 7


def test_where_joint_encoding_moves_the_boundary():
    """The merges make "x abc" two tokens, "x ab" three: of what is scored at least one token is left."""
    tokenizer = tokenizers.train("bpe", ["abc abc abc x"], 259)
    loaded = Loaded(GPT(GPTConfig(vocab_size=300, context=8)), None, tokenizer, build_config({"family": "gpt"}))
    assert (len(tokenizer.encode("x ab")), len(tokenizer.encode("x abc"))) == (3, 2)
    assert text_row(loaded, "x ab", "c") == Row(tuple(tokenizer.encode("x abc")), 1)
    assert text_row(loaded, "x ab", "c x") == Row(tuple(tokenizer.encode("x abc x")), 3)
    assert text_row(loaded, "x", " abc") == Row(tuple(tokenizer.encode("x abc")), 1)


@pytest.mark.parametrize("family", ["gpt", "llama"])
def test_batches_equal_one_by_one(family):
    loaded, rows = random_model(family), random_rows()
    together = score_rows(loaded, rows)
    for row, (log_p, greedy) in zip(rows, together, strict=True):
        ((alone, alone_greedy),) = score_rows(loaded, [row])
        np.testing.assert_allclose(log_p, alone, rtol=0, atol=1e-5)
        assert greedy == alone_greedy
    exact = score_rows(random_model(family, dtype="float64"), rows)
    for (log_p, _), (precise, _) in zip(together, exact, strict=True):
        np.testing.assert_allclose(log_p, precise, rtol=0, atol=2e-4)


def test_small_batches_give_the_same(monkeypatch):
    loaded, rows = random_model(dtype="float64"), random_rows()
    whole = score_rows(loaded, rows)
    sizes = []
    monkeypatch.setattr(scoring, "_ROWS", 7)
    monkeypatch.setattr(scoring, "_SCORES", 23 * 12)
    for (log_p, _), (other, _) in zip(score_rows(loaded, rows, on_row=sizes.append), whole, strict=True):
        np.testing.assert_allclose(log_p, other, rtol=0, atol=1e-12)
    assert sum(sizes) == len(rows) and max(sizes) <= 7 and min(sizes) < 7


def test_equals_the_loss_that_training_minimises():
    loaded, rows = random_model(dtype="float64"), random_rows(5)
    for row in (Row(r.ids[-20:], 1) for r in rows):
        labels = np.array([row.ids])
        loss, _ = loaded.loss_and_grads(labels, labels)
        ((log_p, _),) = score_rows(loaded, [row])
        assert loss == pytest.approx(-log_p.mean(), rel=1e-12)


def test_a_long_context_is_cut_on_the_left():
    loaded, rng = random_model(dtype="float64"), np.random.default_rng(1)
    ids = tuple(rng.integers(0, 23, 60).tolist())
    ((log_p, _),) = score_rows(loaded, [Row(ids, 55)])
    ((cut, _),) = score_rows(loaded, [Row(ids[-25:], 20)])  # 24 are read, the last one is only predicted
    np.testing.assert_allclose(log_p, cut, rtol=0, atol=1e-14)
    with pytest.raises(UserError, match="a completion has 25 tokens, but the model's context is 24; shorten it"):
        score_rows(loaded, [Row(ids, 35)])
    ((whole, _),) = score_rows(loaded, [Row(ids, 36)])
    assert len(whole) == 24


def test_rows_that_differ_in_their_last_token_go_through_once(monkeypatch):
    loaded, seen = random_model(), []
    logits = GPT.logits

    def counted(self, params, ids, *args, **more):
        seen.append(len(ids))
        return logits(self, params, ids, *args, **more)

    monkeypatch.setattr(GPT, "logits", counted)
    found = score_rows(loaded, [Row((1, 2, 3, last), 3) for last in range(23)])
    assert seen == [1]
    assert sum(math.exp(log_p[0]) for log_p, _ in found) == pytest.approx(1.0, abs=1e-5)
    assert sum(greedy for _, greedy in found) == 1


def after(context, *completions):
    """Options that share their context."""
    return [(context, completion) for completion in completions]


def test_the_rules():
    loaded, p = bigrams(TEXT, extra="Answer:")
    options = (" a cat", " the mat")
    a, b = sum_log_p(p, "n" + options[0]), sum_log_p(p, "n" + options[1])
    a0, b0 = sum_log_p(p, ":" + options[0]), sum_log_p(p, ":" + options[1])
    expected = {"sum": (a, b), "token": (a / 6, b / 8), "character": (a / 5, b / 7), "unconditional": (a - a0, b - b0)}
    for rule, values in expected.items():
        (got,) = rate_options(loaded, [after("sat on", *options)], rule)
        np.testing.assert_allclose(got, values, rtol=1e-12)
    with pytest.raises(UserError, match="there is no rule 'mean' to score with: choose from sum, token"):
        rate_options(loaded, [after("sat on", *options)], "mean")


def test_rules_differ_where_they_must():
    """A long ending loses by its sum and wins by its mean; a frequent one wins until its frequency is taken off."""
    loaded, _ = bigrams("ab" * 50 + "cd" * 3 + "ce" * 2 + "fbfb" + ":d" * 30, extra="Answer: ")
    long = [after("c", "d", "dab" + "ab" * 4)]
    assert rate_options(loaded, long, "sum")[0].argmax() == 0
    assert rate_options(loaded, long, "token")[0].argmax() == 1
    assert rate_options(loaded, long, "character")[0].argmax() == 1
    frequent = [after("c", "d", "e")]
    assert rate_options(loaded, frequent, "sum")[0].argmax() == 0
    assert rate_options(loaded, frequent, "unconditional")[0].argmax() == 1


def test_options_are_handed_back_question_by_question():
    loaded, p = bigrams(TEXT)
    questions = [after("the", " cat", " mat", " bat"), after("a c", "at"), after("on", " a", " the")]
    values = rate_options(loaded, questions, "sum")
    assert [len(v) for v in values] == [3, 1, 2]
    assert values[1][0] == pytest.approx(sum_log_p(p, "cat"))
    assert values[2][1] == pytest.approx(sum_log_p(p, "n the"))


def test_partial_evaluation_compares_what_follows():
    """Which of two stands for the pronoun: the context differs, what is scored is the same."""
    loaded, p = bigrams(TEXT)
    values = rate_options(loaded, [[("the cat", " sat"), ("the dog", " sat")]], "token")[0]
    np.testing.assert_allclose(values, [sum_log_p(p, x + " sat") / 4 for x in "tg"], rtol=1e-12)


def test_a_planted_off_by_one_is_caught(monkeypatch):
    """Scores taken one place too late: each token from what follows it."""
    logits = type(bigrams(TEXT)[0].model).logits

    def late(self, params, ids, run, at):
        rows, columns = at
        return logits(self, params, ids, at=(rows, np.minimum(columns + 1, ids.shape[1] - 1)))

    monkeypatch.setattr(type(bigrams(TEXT)[0].model), "logits", late)
    with pytest.raises(AssertionError):
        test_by_hand()
    with pytest.raises(AssertionError):
        test_the_rules()


def test_bad_input():
    loaded, _ = bigrams(TEXT)
    with pytest.raises(UserError, match="nothing to score after 'the cat': the completion is empty"):
        score(loaded, [("the cat", " ")])
    with pytest.raises(UserError, match=r"character 'Z' .* is not among"):
        score(loaded, [("the cat", " Z")])
    loaded.model.table[:] = np.nan
    with pytest.raises(UserError, match="the model's scores are not finite"):
        score(loaded, [("the cat", " a")])
    masked = Loaded(type("BERT", (), {"family": "bert"})(), None, None, None)
    with pytest.raises(UserError, match="a model of the family bert does not continue texts"):
        score(masked, [("a", "b")])
