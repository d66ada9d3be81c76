"""`minigpt.load`: what it opens, and what it says to inputs that do not fit."""

import numpy as np
import pytest

import minigpt
from minigpt.core.errors import UserError
from minigpt.interop.loaded import Loaded
from minigpt.lab.gradcheck.cases import random_parameters
from minigpt.models import BART, BARTConfig
from minigpt.train.settings import RunConfig

from .files import MODEL, gpt2_folder


@pytest.fixture
def loaded(tmp_path):
    return minigpt.load(gpt2_folder(tmp_path / "hf"))


def said(call, *arguments, **named):
    with pytest.raises(UserError) as error:
        call(*arguments, **named)
    return str(error.value)


def test_inputs_that_do_not_fit(loaded):
    ids = [[1, 2, 3]]
    assert said(loaded.logits, [1, 2]) == "input_ids must be (rows, tokens), not of shape (2,)"
    assert said(loaded.logits, ids, [[1, 1]]) == "attention_mask has shape (1, 2), input_ids (1, 3)"
    assert "takes no token_type_ids: only input_ids, attention_mask" in said(loaded.logits, ids, token_type_ids=ids)
    assert said(loaded.loss_and_grads, ids, labels=[[1, 2]]) == "labels has shape (1, 2), input_ids (1, 3)"
    for call in (loaded.logits, loaded.loss_and_grads, loaded.hidden_states):
        assert said(call, [[1] * 9]) == "9 tokens do not fit the model's context of 8"
    assert "prompt and new tokens come to 9, but the model's context is 8" in said(
        loaded.generate_ids, ids, max_new_tokens=6
    )
    assert "padded on the left" in said(loaded.generate_ids, ids, [[1, 1, 0]], max_new_tokens=2)
    assert "padded on the left" in said(loaded.generate_ids, ids, [[0, 0, 0]], max_new_tokens=2)
    assert "max_new_tokens is 0" in said(loaded.generate_ids, ids, max_new_tokens=0)
    assert "this model has no tokenizer" in said(loaded.generate, "text")


def test_padding_changes_nothing_real(loaded):
    """Logits on the right-padded row, and generation from the left-padded one, are those of the row alone."""
    alone = loaded.logits([[5, 6]])
    assert np.allclose(loaded.logits([[5, 6, 0]], [[1, 1, 0]])[:, :2], alone, atol=1e-6)
    ids = loaded.generate_ids([[0, 5, 6], [7, 8, 9]], [[0, 1, 1], [1, 1, 1]], max_new_tokens=3)
    for row, prompt in zip(ids, ([5, 6], [7, 8, 9]), strict=True):
        assert row[3:].tolist() == loaded.generate_ids([prompt], max_new_tokens=3)[0, len(prompt) :].tolist()


def test_columns_of_nothing_but_padding_take_no_room(loaded):
    """The context is 8; what is real in the rows, and what is new, fits it."""
    ids = np.pad([[0, 5, 6], [7, 8, 9]], ((0, 0), (4, 0)), constant_values=1)
    mask = np.pad([[0, 1, 1], [1, 1, 1]], ((0, 0), (4, 0)))
    found = loaded.generate_ids(ids, mask, max_new_tokens=5)
    assert found[:, :4].tolist() == [[1] * 4] * 2
    assert np.array_equal(found[:, 4:], loaded.generate_ids(ids[:, 4:], mask[:, 4:], max_new_tokens=5))


def test_rows_that_end_are_filled_up(loaded):
    free = loaded.generate_ids([[5, 6], [7, 8]], max_new_tokens=6)
    end = int(free[0, 3])
    ids = loaded.generate_ids([[5, 6], [7, 8]], max_new_tokens=6, eos_token_id=end, pad_token_id=299)
    stop = 2 + free[0, 2:].tolist().index(end)
    assert ids[0, : stop + 1].tolist() == free[0, : stop + 1].tolist() and (ids[0, stop + 1 :] == 299).all()
    alone = loaded.generate_ids([[5, 6]], max_new_tokens=6, eos_token_id=[end, 1000])
    assert alone[0].tolist() == free[0, : stop + 1].tolist()


def test_drawing_depends_on_seed_and_row_only(loaded):
    settings = {"max_new_tokens": 5, "do_sample": True, "temperature": 2.0}
    a = loaded.generate_ids([[5], [7], [5]], **settings)
    b = loaded.generate_ids([[5], [9], [5]], **settings)
    assert np.array_equal(a[[0, 2]], b[[0, 2]]) and not np.array_equal(a[0], a[2])
    assert not np.array_equal(a, loaded.generate_ids([[5], [7], [5]], **settings, seed=1))
    cold = loaded.generate_ids([[5], [7]], max_new_tokens=5, do_sample=True, temperature=0)
    assert np.array_equal(cold, loaded.generate_ids([[5], [7]], max_new_tokens=5))


def test_precision_and_what_there_is_to_open(tmp_path):
    folder = gpt2_folder(tmp_path / "hf")
    assert minigpt.load(folder, dtype="float64").params.flat.dtype == np.float64
    assert minigpt.load(folder, dtype=None).params.flat.dtype == np.float32
    assert np.array_equal(minigpt.load(str(folder)).params.flat, MODEL.init(seed=1).flat)
    assert said(minigpt.load, tmp_path / "nowhere") == f"there is no {tmp_path / 'nowhere'}"
    assert "is no model that minigpt reads" in said(minigpt.load, tmp_path)


@pytest.fixture(scope="module")
def bart():
    """A BART of random weights that ends its texts now and then."""
    model = BART(BARTConfig(vocab_size=17, context=14, encoder_layers=2, decoder_layers=1, heads=2, width=16))
    params = random_parameters(model, seed=6, std=0.5).astype("float32")
    params["final_logits_bias"][...] = 0.0
    params["final_logits_bias"][2] = 1.0
    return Loaded(model, params, None, RunConfig("bart", model.config))


SOURCE = np.array([[5, 9, 7, 2], [8, 2, 1, 1]])
REAL = (SOURCE != 1).astype(int)


def test_an_encoder_decoder_takes_what_its_class_takes(bart):
    decoder = np.array([[2, 0, 5], [2, 0, 8]])
    scores = bart.logits(SOURCE, REAL, decoder_input_ids=decoder)
    assert scores.shape == (2, 3, 17)
    labels = np.array([[0, 5, 9], [0, 8, -100]])
    np.testing.assert_array_equal(bart.logits(SOURCE, REAL, labels=labels), scores)  # shifted, they are the same
    loss, grads = bart.loss_and_grads(SOURCE, labels, REAL)
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    expected = -np.mean(np.log([p[0, 0, 0], p[0, 1, 5], p[0, 2, 9], p[1, 0, 0], p[1, 1, 8]]))
    assert loss == pytest.approx(expected, rel=1e-5) and grads["encoder.norm.gain"].any()
    assert bart.logits(SOURCE).shape == (2, 4, 17)  # both stacks read the same text
    assert "labels has shape (1, 3), but input_ids has 2 rows" in said(bart.logits, SOURCE, labels=labels[:1])
    wrong = said(bart.logits, SOURCE, labels=labels, decoder_input_ids=decoder[:, :2])
    assert "decoder_input_ids has shape (2, 2), labels (2, 3)" in wrong


def test_an_encoder_decoder_writes_and_searches(bart):
    greedy = bart.generate_ids(SOURCE, REAL, max_new_tokens=9)
    np.testing.assert_array_equal(bart.generate_ids(SOURCE, REAL, max_new_tokens=9, num_beams=1), greedy)
    assert (greedy[:, 0] == 2).all() and greedy.shape[1] <= 10
    drawn = bart.generate_ids(SOURCE, REAL, max_new_tokens=9, do_sample=True, seed=1)
    np.testing.assert_array_equal(bart.generate_ids(SOURCE, REAL, max_new_tokens=9, do_sample=True, seed=1), drawn)
    searched = bart.generate_ids(
        SOURCE, REAL, max_new_tokens=9, num_beams=3, min_length=5, no_repeat_ngram_size=2, forced_bos_token_id=0
    )
    assert (searched[:, :2] == [2, 0]).all() and (searched[:, 1:5] != 2).all()
    for row in searched:
        end = np.flatnonzero(row[1:] == 2)
        assert not len(end) or (row[end[0] + 2 :] == 1).all()  # then follows padding
    alone = bart.generate_ids(SOURCE[1:, :2], max_new_tokens=9, num_beams=3)
    together = bart.generate_ids(SOURCE, REAL, max_new_tokens=9, num_beams=3)[1]
    assert alone[0].tolist() == together[: alone.shape[1]].tolist()
    assert "cannot be given with it" in said(bart.generate_ids, SOURCE, do_sample=True, num_beams=2)
    assert "do not fit a context of 14" in said(bart.generate_ids, SOURCE, max_new_tokens=14)


def test_a_search_without_an_end_goes_on_to_the_last_token(loaded):
    assert loaded.generate_ids([[1, 2]], max_new_tokens=3, num_beams=2).shape == (1, 5)
