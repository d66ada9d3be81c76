"""Masking and batches: rates, what may never be hidden, whole words, and rows that say what they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.data.bert_batch import BertBatch, Examples, special_ids
from minigpt.data.bert_instances import BertData
from minigpt.data.masking import continuing_pieces, mask_tokens
from minigpt.ops import IGNORE

from .nested import from_lists

VOCAB = tokenizers.WordPiece(
    {s: i for i, s in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##a", "##b", *"cdefghij"])}
)
CLS, SEP, MASK = 2, 3, 4


def hide(ids, seed=0, **changed):
    candidates = (ids != CLS) & (ids != SEP)
    settings = {"mask_id": MASK, "vocab_size": VOCAB.vocab_size} | changed
    seen, places = mask_tokens(ids, candidates, np.random.default_rng(seed), **settings)
    assert (np.diff(places) > 0).all()
    targets = np.full(len(ids), IGNORE)
    targets[places] = ids[places]
    return seen, targets


rows = st.lists(st.integers(5, 14), min_size=1, max_size=60).map(lambda ids: np.array([CLS, *ids, SEP]))


@given(ids=rows, seed=st.integers(0, 2**32), whole=st.booleans(), most=st.integers(1, 30))
def test_only_chosen_places_change_and_targets_are_the_truth(ids, seed, whole, most):
    seen, targets = hide(ids, seed, most=most, continues=continuing_pieces(VOCAB) if whole else None)
    chosen = targets != IGNORE
    assert (seen[~chosen] == ids[~chosen]).all() and (targets[chosen] == ids[chosen]).all()
    assert not chosen[(ids == CLS) | (ids == SEP)].any()
    number = min(most, max(1, round(0.15 * len(ids))))
    assert chosen.sum() <= number if whole else chosen.sum() == min(number, len(ids) - 2)
    assert ((seen >= 0) & (seen < VOCAB.vocab_size)).all()


def test_rates():
    ids = np.array([CLS, *np.random.default_rng(1).integers(5, 15, 126), SEP])
    kinds, places, replaced = [], np.zeros(128), []
    for seed in range(1500):
        seen, targets = hide(ids, seed)
        chosen = targets != IGNORE
        assert chosen.sum() == 19  # round(0.15 · 128)
        places += chosen
        kinds += np.where(seen[chosen] == MASK, 0, np.where(seen[chosen] == ids[chosen], 1, 2)).tolist()
        replaced += seen[chosen & (seen != MASK) & (seen != ids)].tolist()
    shares = np.bincount(kinds) / len(kinds)
    v = VOCAB.vocab_size  # a random token is by chance [MASK], or the true one
    assert shares == pytest.approx([0.8 + 0.1 / v, 0.1 + 0.1 / v, 0.1 * (v - 2) / v], abs=0.008)
    assert places[1:-1] / 1500 == pytest.approx(19 / 126, abs=0.04)  # every place as often
    assert set(replaced) == set(range(v)) - {MASK}  # the whole vocabulary, special tokens not excepted
    assert np.bincount(replaced)[[0, 1, 2, 3]] / len(replaced) == pytest.approx(1 / (v - 2), abs=0.014)


@given(ids=rows, seed=st.integers(0, 2**32))
def test_words_are_hidden_whole(ids, seed):
    continues = continuing_pieces(VOCAB)
    _, targets = hide(ids, seed, continues=continues, probability=0.5)
    chosen = targets != IGNORE
    inside = continues[ids] & (np.arange(len(ids)) > 1)  # pieces with the same word's piece before them
    assert (chosen[1:] == chosen[:-1])[inside[1:]].all()


def test_a_piece_behind_a_separator_begins_a_word():
    """A segment that was cut at its front may begin inside a word; the last word of the segment before is not its."""
    ids = np.array([CLS, 7, SEP, 5, 5, SEP])
    fates = {tuple(hide(ids, s, continues=continuing_pieces(VOCAB), probability=0.34)[1] != IGNORE) for s in range(40)}
    assert fates == {(False, True, False, False, False, False), (False, False, False, True, True, False)}


def examples(documents=None, **changed):
    rng = np.random.default_rng(0)
    if documents is None:
        documents = [[rng.integers(5, 15, n).tolist() for n in rng.integers(1, 9, 6)] for _ in range(12)]
    pairs = changed.pop("pairs", True)
    return Examples(from_lists(documents), VOCAB, BertData(**changed), pairs=pairs, context=24, seed=3)


@pytest.mark.parametrize("whole_words", [False, True])
def test_rows_are_pairs_with_types_labels_and_padding(whole_words):
    e = examples(whole_words=whole_words)
    batch = e.batch(5, 40)
    assert batch.inputs.shape == batch.token_types.shape == batch.key_padding.shape == (40, 24)
    assert batch.places.shape == batch.targets.shape == (40, 20)
    for row, (_, _, example) in enumerate(e.stream.take(5, 40)):
        a, b, c, d, label = example.tolist()
        ids = np.array([CLS, *e.documents.ids[a:b], SEP, *e.documents.ids[c:d], SEP])
        n = len(ids)
        truth, real = batch.inputs[row].copy(), batch.targets[row] != IGNORE
        truth[batch.places[row, real]] = batch.targets[row, real]
        assert real.sum() == min(20, max(1, round(0.15 * n))) or (whole_words and real.sum() < 20)
        assert truth[:n].tolist() == ids.tolist() and (truth[n:] == 0).all()
        assert batch.token_types[row].tolist() == [0] * (b - a + 2) + [1] * (d - c + 1) + [0] * (len(truth) - n)
        assert batch.key_padding[row].tolist() == [True] * n + [False] * (len(truth) - n)
        assert batch.labels[row] == label == (0 if b == c else label)
    assert batch.counts() == {"tokens": int((batch.targets != IGNORE).sum()), "pairs": 40}


def test_a_single_segment_has_separators_between_documents():
    e = examples([[[5, 6]], [[7]], [[8, 9, 10]]], pairs=False, short_probability=0.0)
    rows = {tuple(e.row(example)[0].tolist()) for example in e.stream.examples_of_pass(0)}
    begins = [(CLS, 5, 6, SEP, 7, SEP, 8, 9, 10, SEP)], [(CLS, 7, SEP, 8, 9, 10, SEP), (CLS, 5, 6, SEP)]
    assert rows in [set(x) for x in (*begins, [(CLS, 8, 9, 10, SEP), (CLS, 5, 6, SEP, 7, SEP)])]
    batch = e.batch(0, 3)
    assert batch.labels is None and list(batch.counts()) == ["tokens"] and not batch.token_types.any()


def test_batches_are_a_pure_function_of_their_place():
    e = examples()
    first = e.batch(100, 7)
    e.batch(0, 50)
    for again in (e.batch(100, 7), examples().batch(100, 7)):
        for a, b in zip(first, again, strict=True):
            assert np.array_equal(a, b)
    part = examples().batch(103, 2)
    assert np.array_equal(part.labels, first.labels[3:5])


def test_copies_have_other_masks_until_they_come_again():
    documents = [[[i, i + 1, 5, 6, 7, 8, 9, 10]] for i in range(5, 13)]  # one example each, always the same A
    e = examples(documents, pairs=False, short_probability=0.0, dupe_factor=2)
    length = [len(e.stream.examples_of_pass(n)) for n in (0, 1)]
    one, two = e.batch(0, length[0]), e.batch(length[0], length[1])
    again = e.batch(sum(length), length[0])
    assert np.array_equal(one.inputs, again.inputs) and not np.array_equal(one.inputs, two.inputs)


def test_split_keeps_everything():
    batch = examples().batch(0, 7)
    parts = batch.split(3)
    assert [row for row, _ in parts] == [0, 2, 4]
    for field in range(len(batch)):
        assert np.array_equal(np.concatenate([p[field] for _, p in parts]), batch[field])
    no_optional = BertBatch(*batch[:4]).rows(1, 3)
    assert no_optional.labels is None and no_optional.key_padding is None and len(no_optional.inputs) == 2


def test_a_tokenizer_without_the_special_tokens_is_refused():
    with pytest.raises(UserError, match=r"lacks \[PAD\], \[CLS\], \[SEP\], \[MASK\]"):
        special_ids(tokenizers.ByteTokenizer())
