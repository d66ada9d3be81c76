"""Shards, splits and batches."""

import re

import numpy as np
import pytest

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.core.files import cache_folder
from minigpt.data import encoded, shards, text
from minigpt.data.batch import Batch
from minigpt.data.dataset import load_dataset, random_batch, window_batches
from minigpt.ops import IGNORE


def load(path, context=8, tokenizer="char", fraction=0.1):
    return load_dataset([str(path)], tokenizer, validation_fraction=fraction, context=context)


def test_split_is_the_first_nine_tenths_and_the_last_tenth(text_file):
    whole = text_file.read_text()
    data = load(text_file)
    cut = int(0.9 * len(whole))
    assert data.tokenizer.decode(data.train.ids.tolist()) == whole[:cut]
    assert data.tokenizer.decode(data.validation.ids.tolist()) == whole[cut:]


def test_shards_are_memory_mapped_small_and_reused(text_file, monkeypatch):
    data = load(text_file)
    assert isinstance(data.train.ids, np.memmap) and data.train.ids.dtype == np.uint8
    monkeypatch.setattr(encoded, "write_shard", None)  # a second time nothing is encoded
    assert np.array_equal(load(text_file).train.ids, data.train.ids)


@pytest.mark.parametrize("size, dtype", [(256, "u1"), (257, "<u2"), (65536, "<u2"), (65537, "<u4")])
def test_the_smallest_type_that_holds_the_vocabulary(size, dtype):
    assert shards.token_dtype(size) == np.dtype(dtype)


def test_a_changed_text_is_encoded_anew(text_file):
    before = load(text_file)
    text_file.write_text(text_file.read_text().replace("nobody", "anyone"))
    after = load(text_file)
    assert before.fingerprint != after.fingerprint and not np.array_equal(before.train.ids, after.train.ids)


def test_a_failed_encoding_leaves_no_file(text_file):
    tokenizer = tokenizers.CharTokenizer("abc")
    with pytest.raises(UserError, match="is not among the 3 characters"):
        encoded.encode_files([text_file], tokenizer, text.fingerprint([text_file]))
    folder = cache_folder() / "tokens"
    assert not [p for p in folder.glob(".*")] if folder.exists() else True


def test_an_error_says_where_in_the_text(tmp_path, monkeypatch):
    """The encoder sees pieces; the place is counted from the beginning of the text."""
    path = tmp_path / "t.txt"
    path.write_text("abcabcabcabcabcabcabcaX")
    monkeypatch.setattr(text, "_PIECE", 8)
    with pytest.raises(UserError) as caught:
        encoded.encode_files([path], tokenizers.CharTokenizer("abc"), "a fingerprint")
    within, start = map(int, re.search(r"position (\d+).*counted from character (\d+) of", str(caught.value)).groups())
    assert start > 0 and within + start == 22


def test_empty_and_short_texts_are_refused(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("")
    with pytest.raises(UserError, match=r"there is no text in .*t.txt"):
        load(path)
    path.write_text("abc" * 20)
    with pytest.raises(UserError, match="54 training and 6 validation tokens, and a context of 8 needs at least 9"):
        load(path)


def test_windows_are_consecutive_and_targets_are_the_next_token():
    tokens = np.arange(1000, dtype=np.uint16)
    batch = random_batch(tokens, 16, 10, seed=1, step=2)
    assert batch.inputs.shape == batch.targets.shape == (16, 10)
    assert (np.diff(batch.inputs) == 1).all() and (batch.targets == batch.inputs + 1).all()


def test_every_place_can_be_drawn():
    starts = {int(random_batch(np.arange(13), 64, 10, seed=0, step=s).inputs[0, 0]) for s in range(50)}
    assert starts == {0, 1, 2}


def test_batches_depend_on_seed_step_and_part():
    tokens = np.arange(10000)
    base = random_batch(tokens, 4, 10, seed=1, step=2)
    assert np.array_equal(base.inputs, random_batch(tokens, 4, 10, seed=1, step=2).inputs)
    for other in ({"seed": 2, "step": 2}, {"seed": 1, "step": 3}, {"seed": 1, "step": 2, "part": 1}):
        assert not np.array_equal(base.inputs, random_batch(tokens, 4, 10, **other).inputs)


def test_split_keeps_rows_in_order_and_counts_targets():
    inputs = np.arange(14).reshape(7, 2)
    targets = inputs.copy()
    targets[0] = IGNORE
    batch = Batch(inputs, targets, np.ones((7, 2), bool))
    parts = batch.split(3)
    assert [row for row, _ in parts] == [0, 2, 4]
    assert np.array_equal(np.concatenate([p.inputs for _, p in parts]), inputs)
    assert sum(p.counts()["tokens"] for _, p in parts) == batch.counts()["tokens"] == 12
    assert len(Batch(inputs[:2], targets[:2]).split(4)) == 2


def test_a_last_window_that_is_whole_goes_with_the_others():
    """Nine tokens are two windows of four and their targets: one batch of two rows, and ten leave one token over."""
    assert [make().inputs.tolist() for make in window_batches(np.arange(9), 2, 4)] == [[[0, 1, 2, 3], [4, 5, 6, 7]]]
    shapes = [make().inputs.shape for make in window_batches(np.arange(10), 2, 4)]
    assert shapes == [(2, 4), (1, 1)]
    assert [make().inputs.shape for make in window_batches(np.arange(9), 3, 3)] == [(2, 3), (1, 2)]
