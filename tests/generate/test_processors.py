"""What happens to scores before a token is chosen: every function on numbers that can be followed by hand."""

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.generate.processors import (
    bias_sequences,
    favour_prompt,
    forbid_copies,
    forbid_end,
    forbid_repeats,
    force,
    hasten_end,
    normalize,
    penalize_repetition,
    process,
    processors,
    replace_invalid,
    suppress,
    suppress_first,
)
from minigpt.generate.settings import Generation

X = -np.inf
SCORES = np.array([[2.0, -1.0, 0.5, 4.0, -3.0], [1.0, 2.0, 3.0, -4.0, 5.0]])
TEXTS = np.array([[0, 1, 0], [3, 3, 3]])


def check(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_repetition():
    """Divided where positive, multiplied where negative, once however often the token occurred."""
    check(penalize_repetition(SCORES, TEXTS, 2.0), [[1, -2, 0.5, 4, -3], [1, 2, 3, -8, 5]])
    real = np.array([[False, True], [True, True]])
    check(penalize_repetition(SCORES, TEXTS[:, :2], 2.0, real), [[2, -2, 0.5, 4, -3], [1, 2, 3, -8, 5]])
    beams = np.repeat(SCORES, 2, axis=0)
    check(
        penalize_repetition(beams, np.repeat(TEXTS[:, :2], 2, axis=0), 2.0, real)[::2],
        [[2, -2, 0.5, 4, -3], [1, 2, 3, -8, 5]],
    )
    single = np.array([[3, 0, -3, 1]], np.float32)
    with np.errstate(all="raise"):
        check(penalize_repetition(single, np.array([[0, 1, 2]]), 1e40), [[0, 0, -np.inf, 1]])
    check(favour_prompt(SCORES, TEXTS, 2.0, TEXTS), [[4, -0.5, 0.5, 4, -3], [1, 2, 3, -2, 5]])


def test_ngrams():
    text = np.array([[1, 2, 3, 1, 2]])
    flat = np.zeros((1, 5))
    check(forbid_repeats(flat, text, 3), [[0, 0, 0, X, 0]])
    check(forbid_repeats(flat, text, 2), [[0, 0, 0, X, 0]])
    check(forbid_repeats(flat, text, 1), [[0, X, X, X, 0]])
    check(forbid_repeats(flat, np.array([[2, 2]]), 2), [[0, 0, X, 0, 0]])
    check(forbid_repeats(flat, text[:, :2], 3), flat)
    check(forbid_copies(flat, np.array([[0, 1, 2]]), 3, text), [[0, 0, 0, X, 0]])
    check(forbid_copies(flat, np.array([[4]]), 1, text), [[0, X, X, X, 0]])
    check(forbid_copies(flat, np.array([[1]]), 3, text), flat)


def test_biases():
    check(bias_sequences(SCORES, TEXTS, [((2,), 1.5), ((1, 0, 3), X)]), [[2, -1, 2, X, -3], [1, 2, 4.5, -4, 5]])
    check(bias_sequences(SCORES, TEXTS, [((0, 1, 0, 1), X), ((9, 0, 1, 0, 1), X)]), [[2, X, 0.5, 4, -3], SCORES[1]])


def test_ends_and_forced_tokens():
    check(forbid_end(SCORES, TEXTS, 4, (1, 3)), [[2, X, 0.5, X, -3], [1, X, 3, X, 5]])
    check(forbid_end(SCORES, TEXTS, 3, (1, 3)), SCORES)
    check(force(SCORES, TEXTS, 3, (2, 4)), [[X, X, 0, X, 0]] * 2)
    check(force(SCORES, TEXTS, 2, (2,)), SCORES)
    check(hasten_end(SCORES, TEXTS, 1, 2.0, (0, 4)), [[2 + 2 * 3, -1, 0.5, 4, -3 + 3 * 3], [4, 2, 3, -4, 20]])
    check(hasten_end(SCORES, TEXTS, 3, 2.0, (0, 4)), SCORES)
    late = hasten_end(np.array([[2.0, 1.0]], np.float32), TEXTS[:1], -(10**12), 1.1, (0,))
    assert 1e29 < late[0, 0] < 3e30 and late[0, 1] == 1
    check(hasten_end(np.array([[X, 1.0]]), np.array([[1]]), 0, 2.0, (0,)), [[X, 1.0]])


def test_suppressed_and_invalid():
    check(suppress(SCORES, TEXTS, (0, 4)), [[X, -1, 0.5, 4, X], [X, 2, 3, -4, X]])
    check(suppress_first(SCORES, TEXTS, 3, (0,)), [[X, -1, 0.5, 4, -3], [X, 2, 3, -4, 5]])
    check(suppress_first(SCORES, TEXTS, 2, (0,)), SCORES)
    largest = float(np.finfo(np.float32).max)
    check(replace_invalid(np.array([[np.nan, X, np.inf, 1.0]]), TEXTS), [[0, -largest, largest, 1]])
    check(normalize(np.log([[1.0, 3.0]]), TEXTS), np.log([[0.25, 0.75]]))
    assert np.array_equal(SCORES, [[2.0, -1.0, 0.5, 4.0, -3.0], [1.0, 2.0, 3.0, -4.0, 5.0]])  # nothing was changed


def steps(**settings):
    return processors(Generation(**settings), prompt=3, longest=9, source=TEXTS, real=None, vocab_size=5)


def test_the_order_is_transformers():
    """A penalty comes before what is ruled out, a forced token before what is suppressed."""
    made = steps(
        sequence_bias=(((1,), 1.0),),
        **{"encoder_repetition_penalty": 2.0, "repetition_penalty": 2.0, "no_repeat_ngram_size": 2},
        **{"encoder_no_repeat_ngram_size": 2, "bad_words_ids": ((1, 2),), "min_length": 5, "eos_token_id": (4,)},
        **{"forced_bos_token_id": 1, "forced_eos_token_id": (4,), "remove_invalid_values": True},
        **{"exponential_decay_length_penalty": (2, 1.5), "suppress_tokens": (1,), "begin_suppress_tokens": (2,)},
        renormalize_logits=True,
    )
    names = [getattr(step, "func", step).__name__ for step in made]
    assert names == [
        *("bias_sequences", "favour_prompt", "penalize_repetition", "forbid_repeats", "forbid_copies"),
        *("bias_sequences", "forbid_end", "force", "force", "replace_invalid", "hasten_end", "suppress"),
        *("suppress_first", "normalize"),
    ]
    assert steps() == []


def test_what_is_put_together():
    check(process(SCORES, TEXTS, steps(min_new_tokens=1, eos_token_id=(4,))), [[2, -1, 0.5, 4, X], [1, 2, 3, -4, X]])
    check(process(SCORES, TEXTS, steps(min_length=3, eos_token_id=(4,))), SCORES)
    only_ends = steps(bad_words_ids=((4,),), eos_token_id=(4,))
    assert only_ends == []  # an end is no bad word
    with pytest.raises(UserError, match="bad_words_ids has the id 5, but the model has only 5 tokens"):
        steps(bad_words_ids=((5,),))
    with pytest.raises(UserError, match="forced_eos_token_id has the id 7"):
        steps(forced_eos_token_id=(7,))
