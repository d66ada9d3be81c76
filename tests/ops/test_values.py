"""Values of single operations at points where the right answer is known from elsewhere."""

import math

import numpy as np
import pytest

from minigpt import ops


def test_erf_equals_the_c_library():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.linspace(-7, 7, 20001), 1e-3 * rng.standard_normal(2000), [0.46875, -0.46875, 0.0]])
    exact = np.array([math.erf(value) for value in x])
    np.testing.assert_allclose(ops.erf(x), exact, rtol=1e-15, atol=1e-15)
    single = x.astype(np.float32)
    exact = np.array([math.erf(value) for value in single.astype(float)])
    assert np.abs(ops.erf(single) - exact).max() <= 2e-7 and ops.erf(single).dtype == np.float32


def test_erf_of_special_values():
    y = ops.erf(np.array([np.inf, -np.inf, np.nan, -0.0, 1e300]))
    assert y[0] == 1 and y[1] == -1 and np.isnan(y[2]) and np.signbit(y[3]) and y[3] == 0 and y[4] == 1


def test_the_two_gelus_differ_as_published():
    x = np.linspace(-8, 8, 200001)
    difference = np.abs(ops.gelu_tanh_forward(x)[0] - ops.gelu_erf_forward(x)[0])
    assert difference.max() == pytest.approx(4.73e-4, rel=1e-2)
    assert abs(x[difference.argmax()]) == pytest.approx(2.70, abs=0.01)


def test_layernorm_survives_a_mean_far_from_zero():
    x = 1e4 + np.random.default_rng(0).standard_normal((3, 64))
    y, _ = ops.layernorm_forward(x, np.ones(64), np.zeros(64), eps=0.0)
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-9)
    np.testing.assert_allclose(y.std(-1), 1, rtol=1e-9)


def test_embedding_gradient_sums_every_occurrence():
    for rows in (7, 1000):  # the one-hot product and the sorted sum
        ids = np.array([[1, 1, 1], [5, 1, 0]])
        dtable = np.zeros((rows, 2))
        _, cache = ops.embedding_forward(ids, np.zeros((rows, 2)))
        ops.embedding_backward(np.ones((2, 3, 2)), cache, dtable)
        assert dtable[1].tolist() == [4, 4] and dtable[5].tolist() == [1, 1] and dtable.sum() == 12


@pytest.mark.parametrize("bad", [-1, 7])
def test_ids_outside_the_table_are_refused(bad):
    with pytest.raises(ValueError, match=f"token id {bad} is outside the vocabulary of 7"):
        ops.embedding_forward(np.array([[0, bad]]), np.zeros((7, 2)))


def test_positions_beyond_the_context_are_refused():
    with pytest.raises(ValueError, match="6 positions do not fit the model's context of 5"):
        ops.position_forward(np.zeros((1, 4, 2)), np.zeros((5, 2)), start=2)


def test_cross_entropy_of_uniform_scores_is_log_v():
    loss, _ = ops.cross_entropy_forward(np.zeros((2, 3, 11)), np.array([[0, 1, 2], [10, ops.IGNORE, 5]]))
    assert loss == pytest.approx(math.log(11), rel=1e-15)


def test_cross_entropy_does_not_overflow():
    logits = np.array([[1e4, 0.0], [-1e4, 1e4]], dtype=np.float32)
    loss, cache = ops.cross_entropy_forward(logits, np.array([0, 0]))
    assert loss == pytest.approx(1e4) and np.isfinite(ops.cross_entropy_backward(1.0, cache)).all()


def test_label_smoothing_spreads_over_the_other_classes():
    z = np.random.default_rng(0).standard_normal((4, 6))
    y, e = np.array([0, 5, 2, 2]), 0.1
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    q = np.full((4, 6), e / 5)
    q[np.arange(4), y] = 1 - e
    loss, _ = ops.cross_entropy_forward(z, y, label_smoothing=e)
    assert loss == pytest.approx(-(q * log_p).sum() / 4, rel=1e-14)


@pytest.mark.parametrize("bad", [-1, 5])
def test_targets_outside_the_vocabulary_are_refused(bad):
    with pytest.raises(ValueError, match="a target is outside the vocabulary of 5"):
        ops.cross_entropy_forward(np.zeros((2, 5)), np.array([0, bad]))


def test_a_target_of_zero_counts():
    """Class 0 is a class (BERT's next-sentence label), not padding."""
    loss, _ = ops.cross_entropy_forward(np.array([[0.0, 1.0]]), np.array([0]))
    assert loss == pytest.approx(math.log(1 + math.e))
