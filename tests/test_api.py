"""`minigpt.load`: what it opens, and what it says to inputs that do not fit."""

import numpy as np
import pytest

import minigpt
from minigpt.errors import UserError

from .interop.files import MODEL, gpt2_folder


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
