"""Rules that leave out unlikely tokens, on distributions that can be followed by hand."""

import numpy as np

from minigpt.generate.truncation import epsilon_cutoff, eta_cutoff, min_p, typical

P = np.array([0.5, 0.25, 0.15, 0.1])


def kept(p):
    return np.flatnonzero(p).tolist()


def test_min_p_is_a_share_of_the_largest():
    np.testing.assert_allclose(min_p(P, 0.3), [0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0])
    assert kept(min_p(P, 1.0)) == [0] and kept(min_p(P, 0.0)) == [0, 1, 2, 3]
    assert [kept(p) for p in min_p(np.stack([P, P[::-1]]), 0.5)] == [[0, 1], [2, 3]]


def test_epsilon_keeps_the_most_probable():
    assert kept(epsilon_cutoff(P, 0.2)) == [0, 1] and kept(epsilon_cutoff(P, 0.6)) == [0]


def test_eta_follows_the_entropy():
    """Entropy 1.208: √0.09 · exp(−1.208) = 0.0896 is less than every p; √0.25 · 0.2987 = 0.149 is not."""
    assert kept(eta_cutoff(P, 0.09)) == [0, 1, 2, 3] and kept(eta_cutoff(P, 0.25)) == [0, 1, 2]


def test_typical_takes_what_is_nearest_to_the_entropy():
    """−log p is 0.693, 1.386, 1.897, 2.303: 0.514, 0.178, 0.689, 1.094 away from 1.208."""
    assert kept(typical(P, 0.2)) == [1] and kept(typical(P, 0.3)) == [0, 1] and kept(typical(P, 0.8)) == [0, 1, 2]
    assert kept(typical(np.array([0.0, 1.0]), 0.5)) == [1]
