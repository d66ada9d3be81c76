"""Mixtures: proportions, no window twice in an epoch, and nothing but a function of seed and row number."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigpt.data.mixture import BLOCK, mixture_rows, quotas

from ..tiers import examples

WEIGHTS = st.lists(st.floats(0.01, 100.0), min_size=1, max_size=6)


@given(WEIGHTS)
def test_quotas_are_the_weights_to_the_nearest_rows(weights):
    rows = quotas(weights)
    assert sum(rows) == BLOCK and min(rows) >= 1
    for got, weight in zip(rows, weights, strict=True):
        exact = BLOCK * weight / sum(weights)
        assert abs(got - exact) < len(weights) + 1 or got == 1


def test_gpt3_s_weights_sum_to_101_per_cent_and_are_normalised():
    assert quotas([60, 22, 8, 8, 3]) == (594, 218, 79, 79, 30)


@settings(deadline=None, max_examples=examples(25))
@given(WEIGHTS, st.data())
def test_no_window_comes_twice_in_an_epoch_and_none_is_left_out(weights, data):
    windows = [data.draw(st.integers(1, 40)) for _ in weights]
    rows = mixture_rows(windows, weights, 0, 3 * BLOCK // 2, seed=data.draw(st.integers(0, 5)))
    seen = Counter(rows)
    assert max(seen.values()) == 1
    for corpus, count in enumerate(windows):
        epochs = Counter(row.epoch for row in rows if row.corpus == corpus)
        last = max(epochs, default=0)
        assert all(epochs[epoch] == count for epoch in range(last)) and epochs[last] <= count
        assert all(0 <= row.window < count for row in rows if row.corpus == corpus)


@pytest.mark.parametrize("rows", [1000, 7000, 7500])
def test_realised_weights_match(rows):
    weights = [0.6, 0.25, 0.1, 0.05]
    got = Counter(row.corpus for row in mixture_rows([50, 50, 50, 50], weights, 0, rows, seed=3))
    for corpus, weight in enumerate(weights):
        # whole blocks are exact; within the last one the order is random
        spread = 0 if rows % BLOCK == 0 else 4 * np.sqrt(BLOCK * weight * (1 - weight)) / rows
        assert abs(got[corpus] / rows - weight) <= spread + 1e-12


@settings(deadline=None, max_examples=examples(25))
@given(st.integers(0, 5000), st.integers(1, 200), st.integers(0, 199))
def test_rows_do_not_depend_on_how_they_are_asked_for(first, rows, cut):
    windows, weights = [17, 400, 33], [3, 2, 1]
    cut = min(cut, rows)
    whole = mixture_rows(windows, weights, first, rows, seed=7)
    parts = mixture_rows(windows, weights, first, cut, seed=7)
    assert whole == parts + mixture_rows(windows, weights, first + cut, rows - cut, seed=7)


def test_seeds_and_epochs_have_orders_of_their_own():
    first, second = (mixture_rows([300], [1], 0, 600, seed=seed) for seed in (0, 1))
    assert [r.window for r in first[:300]] != [r.window for r in second[:300]]
    assert [r.window for r in first[:300]] != [r.window for r in first[300:]]
    assert [r.window for r in first[:300]] != list(range(300))
