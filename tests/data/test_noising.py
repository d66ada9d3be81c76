"""BART's noise: what each kind does, how often, and what none of them may change."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.data.noising import (
    Noise,
    NoiseVocabulary,
    add_noise,
    delete_tokens,
    denoising_rows,
    infill_text,
    mask_tokens,
    noise_vocabulary,
    permute_sentences,
    poisson_table,
    rotate_document,
    span_lengths,
)

BOS, PAD, EOS, MASK, STOP = 0, 1, 2, 3, 4
# 5 … 19 are ordinary; the even ones among them begin a word
STARTS = np.array([i < 4 or i % 2 == 0 for i in range(20)])
VOCABULARY = NoiseVocabulary(MASK, STOP, STARTS, np.arange(4, 20))
EVERY_TOKEN = VOCABULARY._replace(word_starts=np.ones(20, dtype=bool))

inner = st.lists(st.integers(4, 19), min_size=0, max_size=60)
ratios = st.sampled_from([0.0, 0.15, 0.3, 0.5, 1.0])
seeds = st.integers(0, 2**32)


def row(tokens):
    return np.array([BOS, *tokens, EOS])


def distinct_row(length):
    """Ordinary tokens that are all different, each a word, for seeing what became of every one of them."""
    vocabulary = NoiseVocabulary(MASK, STOP, np.ones(length + 10, dtype=bool), np.arange(4, length + 10))
    return row(range(5, 5 + length)), vocabulary


def is_subsequence(short, long):
    rest = iter(long)
    return all(token in rest for token in short)


@given(inner, st.sampled_from(["permute", "infill", "mask", "delete", "rotate"]), ratios, seeds)
def test_the_ends_stay_and_nothing_is_changed_in_place(tokens, kind, ratio, seed):
    tokens = row(tokens)
    before = tokens.copy()
    noise = Noise(**({"permute": 0.0, "infill": 0.0} | {kind: ratio}), random=0.3)
    noisy = add_noise(tokens, noise, VOCABULARY, np.random.default_rng(seed))
    assert noisy[0] == BOS and noisy[-1] == EOS and not np.isin(noisy[1:-1], [BOS, PAD, EOS]).any()
    np.testing.assert_array_equal(tokens, before)
    again = add_noise(tokens, noise, VOCABULARY, np.random.default_rng(seed))
    np.testing.assert_array_equal(noisy, again)
    if ratio == 0.0:
        np.testing.assert_array_equal(noisy, tokens)


@given(inner, ratios, seeds)
def test_masking_and_deletion_touch_exactly_their_share(tokens, ratio, seed):
    count, tokens = math.ceil(len(tokens) * ratio), row(tokens)
    masked = mask_tokens(tokens, ratio, VOCABULARY, np.random.default_rng(seed))
    assert (masked == MASK).sum() == count
    np.testing.assert_array_equal(masked[masked != MASK], tokens[masked != MASK])
    deleted = delete_tokens(tokens, ratio, np.random.default_rng(seed))
    assert len(deleted) == len(tokens) - count and is_subsequence(deleted.tolist(), tokens.tolist())
    np.testing.assert_array_equal(deleted, masked[masked != MASK])  # the same draw, one hidden, one gone


@given(inner, ratios, seeds)
def test_permutation_keeps_every_token(tokens, ratio, seed):
    permuted = permute_sentences(row(tokens), ratio, STOP, np.random.default_rng(seed))
    assert Counter(permuted.tolist()) == Counter(row(tokens).tolist())


@given(st.lists(st.lists(st.integers(5, 19), min_size=1, max_size=4), max_size=12), ratios, seeds)
def test_permutation_keeps_sentences_whole(parts, ratio, seed):
    tokens = row(itertools.chain.from_iterable([*part, STOP] for part in parts))
    permuted = permute_sentences(tokens, ratio, STOP, np.random.default_rng(seed))
    found = [list(part) for stop, part in itertools.groupby(permuted[1:-1].tolist(), lambda t: t == STOP) if not stop]
    assert sorted(found) == sorted(parts)
    assert sum(a != b for a, b in zip(found, parts, strict=True)) <= math.ceil(len(parts) * ratio)


def test_permutation_by_example():
    """Of two full stops, the first ends a sentence; a single token after the last full stop is none."""
    tokens = row([5, 6, STOP, 7, STOP, STOP, 8, 9, STOP, 10])
    parts = [(5, 6, STOP), (7, STOP), (STOP, 8, 9, STOP)]
    expected = {(*itertools.chain.from_iterable(order), 10) for order in itertools.permutations(parts)}

    def outcomes(ratio):
        draws = (permute_sentences(tokens, ratio, STOP, np.random.default_rng(seed)) for seed in range(200))
        return {tuple(permuted[1:-1].tolist()) for permuted in draws}

    assert outcomes(1.0) == expected  # all six, and nothing else
    assert len(outcomes(0.5)) == 1 + 3  # two of the three: as it was, or one pair exchanged
    assert outcomes(0.0) == {tuple(tokens[1:-1].tolist())}


@given(inner, seeds)
def test_rotation_is_a_rotation(tokens, seed):
    rotated = rotate_document(row(tokens), np.random.default_rng(seed))[1:-1].tolist()
    assert rotated in [tokens[i:] + tokens[:i] for i in range(len(tokens) + 1)]


def test_a_row_of_nothing_but_its_ends_stays():
    for length in (2, 3):
        assert rotate_document(np.arange(length), np.random.default_rng(0)).tolist() == list(range(length))
    assert rotate_document(np.array([7]), np.random.default_rng(0)).tolist()[0] == 7


def test_rotation_begins_at_every_token():
    tokens = row(range(5, 12))
    first = Counter(int(rotate_document(tokens, np.random.default_rng(seed))[1]) for seed in range(2000))
    assert first.keys() == set(range(5, 12))
    # offsets 1 … 8 are equally likely; offset 8, after the last token, is no rotation and gives 5 a second chance
    assert all(abs(n / 2000 - (2 if token == 5 else 1) / 8) < 0.04 for token, n in first.items())


@given(st.lists(st.integers(5, 19), min_size=1, max_size=60), ratios, seeds)
def test_infilling_covers_the_budget_in_words(tokens, ratio, seed):
    """What disappears are whole words (and the tokens inside them); what stays keeps its order."""
    tokens = row(tokens)
    noisy = infill_text(tokens, ratio, VOCABULARY, np.random.default_rng(seed))
    starts = STARTS[tokens[1:-1]]
    budget = math.ceil(starts.sum() * ratio)
    kept = noisy[noisy != MASK]
    assert is_subsequence(kept.tolist(), tokens.tolist())
    gone = starts.sum() - STARTS[kept[1:-1]].sum()
    assert gone <= budget  # less where spans run into each other or end with the row
    assert ((noisy == MASK).sum() > 0) == (budget > 0)


@given(st.integers(1, 200), ratios, seeds)
def test_a_span_is_one_mask(length, ratio, seed):
    """Of tokens that are all different: between two that stay, a gap of any length holds one mask for each span."""
    tokens, vocabulary = distinct_row(length)
    rng = np.random.default_rng(seed)
    noisy = infill_text(tokens, ratio, vocabulary, rng)
    lengths = span_lengths(math.ceil(length * ratio), 3.0, np.random.default_rng(seed)) if ratio else np.empty(0)
    spans, inserted = int((lengths > 0).sum()), int((lengths == 0).sum())
    assert lengths.sum() == math.ceil(length * ratio)
    masks = int((noisy == MASK).sum())
    assert masks <= spans + inserted  # a span that begins inside of another is part of it
    gone = length - (len(noisy) - 2 - masks)
    assert masks - inserted <= gone <= lengths.sum()


def infilled_token_by_token(tokens, ratio, seed):
    """Text infilling as fairseq walks through it: all spans grow by a token at a time until their words are used up."""
    rng = np.random.default_rng(seed)
    starts = STARTS[tokens].astype(int)
    starts[[0, -1]] = 0
    if not (budget := math.ceil(starts.sum() * ratio)):
        return tokens
    lengths = span_lengths(budget, 3.0, rng)
    inserted, lengths = int((lengths == 0).sum()), lengths[lengths > 0]
    places = np.flatnonzero(starts)[rng.permutation(starts.sum())[: len(lengths)]]
    source, keep = tokens.copy(), np.ones(len(tokens), dtype=bool)
    source[places] = MASK
    starts[-1] = 255  # acts as a long word: no span goes over the end
    lengths = lengths - 1
    while len(places):
        lengths = lengths - starts[places + 1]
        places, lengths = places[lengths >= 0] + 1, lengths[lengths >= 0]
        keep[places] = False
    result = source[keep].tolist()
    for place in sorted((rng.permutation(len(result) + inserted - 2)[:inserted] + 1).tolist()):
        result.insert(place, MASK)
    return np.array(result)


@given(st.lists(st.integers(5, 19), max_size=60), ratios, seeds)
def test_infilling_is_fairseqs(tokens, ratio, seed):
    expected = infilled_token_by_token(row(tokens), ratio, seed)
    noisy = infill_text(row(tokens), ratio, VOCABULARY, np.random.default_rng(seed))
    np.testing.assert_array_equal(noisy, expected)


def test_infilling_by_example():
    """Few spans far apart: each gap is as long as its span, and holds exactly one mask."""
    tokens, vocabulary = distinct_row(400)
    gaps = []
    for seed in range(300):
        noisy = infill_text(tokens, 0.01, vocabulary, np.random.default_rng(seed)).tolist()
        lengths = span_lengths(4, 3.0, np.random.default_rng(seed))
        before, masks, found = 4, 0, []
        for token in [*noisy[1:-1], 405]:
            if token == MASK:
                masks += 1
                continue
            if masks or token != before + 1:
                found.append((masks, token - before - 1))
            before, masks = token, 0
        if len(found) == len(lengths) and all(masks == 1 for masks, _ in found):
            gaps.append(sorted(gap for _, gap in found) == sorted(lengths.tolist()))
    assert len(gaps) > 250 and np.mean(gaps) > 0.9  # the others ran into each other's ends or into the end of the row


def test_words_stay_together():
    """A span counts words: their inner tokens vanish with them, and what stands before the first word stays."""
    tokens = row([5, 7, 6, 9, 11, 8, 10, 13])  # 5 7 | 6 9 11 | 8 | 10 13
    for seed in range(100):
        noisy = infill_text(tokens, 0.3, VOCABULARY, np.random.default_rng(seed))  # 3 words: a budget of 1
        left = noisy[noisy != MASK].tolist()
        assert left[1:-1] in ([5, 7, 8, 10, 13], [5, 7, 6, 9, 11, 10, 13], [5, 7, 6, 9, 11, 8])


def test_the_poisson_table():
    table = poisson_table(3.0)
    assert len(table) == 18 and table[-1] < 1e-7 <= table[-2]
    assert table[3] == pytest.approx(math.exp(-3) * 27 / 6)
    assert sum(table) == pytest.approx(1, abs=1e-6)
    assert len(poisson_table(0.01)) == 5 and sum(poisson_table(20.0)) == pytest.approx(1, abs=1e-6)


def test_span_lengths_follow_the_distribution_and_fill_the_budget():
    rng = np.random.default_rng(0)
    draws = [span_lengths(60, 3.0, rng) for _ in range(2000)]
    assert all(lengths.sum() == 60 and lengths[-1] > 0 for lengths in draws)
    uncut = np.concatenate([lengths[:-1] for lengths in draws])
    observed = np.bincount(uncut, minlength=18) / len(uncut)
    assert np.abs(observed[:10] - poisson_table(3.0)[:10]).max() < 0.02


def test_rates_of_infilling():
    tokens, vocabulary = distinct_row(500)
    rng = np.random.default_rng(1)
    noisy = [infill_text(tokens, 0.3, vocabulary, rng) for _ in range(200)]
    gone = np.mean([500 - (len(n) - 2 - (n == MASK).sum()) for n in noisy]) / 500
    masks = np.mean([(n == MASK).sum() for n in noisy]) / 500
    assert 0.2 < gone < 0.3  # 30 %, less what overlaps
    assert masks == pytest.approx(0.3 / 3 * (1 - gone / 2), rel=0.15)  # about one for each three tokens of the budget


@pytest.mark.parametrize("kind", ["mask", "infill"])
def test_some_masks_are_arbitrary_tokens(kind):
    tokens, vocabulary = distinct_row(300)
    vocabulary = vocabulary._replace(ordinary=np.array([7]))
    noise = Noise(**({"permute": 0.0, "infill": 0.0} | {kind: 0.3}), random=0.25)
    rng, masks, sevens = np.random.default_rng(2), 0, 0
    for _ in range(100):
        noisy = add_noise(tokens[tokens != 7], noise, vocabulary, rng)
        masks, sevens = masks + (noisy == MASK).sum(), sevens + (noisy == 7).sum()
    assert sevens / (sevens + masks) == pytest.approx(0.25, abs=0.04)


def test_the_final_recipe_permutes_then_infills():
    tokens = row([6, STOP, 8, STOP, 10, STOP] * 5)
    rng, expected = np.random.default_rng(3), np.random.default_rng(3)
    noisy = add_noise(tokens, Noise(), VOCABULARY, rng)
    permuted = permute_sentences(tokens, 1.0, STOP, expected)
    np.testing.assert_array_equal(noisy, infill_text(permuted, 0.3, VOCABULARY, expected))


def test_rows_have_generators_of_their_own_and_a_limit():
    rows = [row(range(5, 5 + n)) for n in (3, 10, 14)]
    noise = Noise(span=0.5, infill=1.0)  # mostly empty spans: the rows grow
    noisy = denoising_rows(rows, noise, EVERY_TOKEN, key=[1, 2], limit=16)
    again = denoising_rows([rows[0], rows[0], rows[2]], noise, EVERY_TOKEN, key=[1, 2], limit=16)
    assert noisy[2].tolist() == again[2].tolist() and noisy[0].tolist() == again[0].tolist()
    assert max(map(len, noisy)) == 16 and all(n[-1] == EOS for n in noisy)
    other = denoising_rows(rows, noise, EVERY_TOKEN, key=[1, 3], limit=16)
    assert [n.tolist() for n in other] != [n.tolist() for n in noisy]


def test_the_vocabulary_of_a_tokenizer():
    text = ["The cat sat. The dog, too, sat on the mat and slept.\n"] * 20
    special = ["<s>", "<pad>", "</s>", "<mask>"]
    bpe = tokenizers.train("bpe", text, 300, special_tokens=special)
    v = noise_vocabulary(bpe)
    assert (v.mask, bpe.decode([v.full_stop])) == (3, ".")
    assert {bpe.token(i)[0] for i in np.flatnonzero(v.word_starts)} == {"Ġ", "<"}
    assert v.word_starts.sum() == 4 + sum(bpe.token(i).startswith("Ġ") for i in range(bpe.vocab_size))
    assert v.ordinary.tolist() == list(range(4, bpe.vocab_size))
    words = tokenizers.train("wordpiece", text, 80)
    v = noise_vocabulary(words)
    assert v.mask == words.special_tokens["[MASK]"]
    assert all(v.word_starts[i] != words.token(i).startswith("##") for i in range(words.vocab_size))
    with pytest.raises(UserError, match="needs a tokenizer with the special token <mask>"):
        noise_vocabulary(tokenizers.train("char", text))


@pytest.mark.parametrize("name", ["permute", "infill", "mask", "delete", "rotate", "random"])
def test_wrong_noise_is_refused(name):
    with pytest.raises(UserError, match=f"objective.{name} is 1.5; it must be between 0 and 1"):
        Noise(**{name: 1.5})
    with pytest.raises(UserError, match=r"objective.span is 0.0; it must be above 0"):
        Noise(span=0.0)
