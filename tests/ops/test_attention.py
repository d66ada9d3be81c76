"""Attention against loops written straight from the definition, and at its edges."""

import math

import numpy as np
import pytest

from minigpt import fast, ops
from minigpt.lab.gradcheck.cases import attention_masks

from ..tiers import some


@pytest.fixture(params=[ops, fast], ids=["plain", "fast"], name="impl")
def implementation(request):
    return request.param


def by_loops(q, k, v, allowed):
    """Every query of every head on its own; allowed(b, i, j) says whether query i may look at key j."""
    (b, t, h, d), (s, g) = q.shape, k.shape[1:3]
    y = np.zeros_like(q)
    for row in range(b):
        for head in range(h):
            shared = head * g // h  # consecutive query heads share a key-value head
            for i in range(t):
                keys = [j for j in range(s) if allowed(row, i, j)]
                scores = [q[row, i, head] @ k[row, j, shared] / math.sqrt(d) for j in keys]
                weights = np.exp(scores) / np.exp(scores).sum() if keys else []
                for w, j in zip(weights, keys, strict=True):
                    y[row, i, head] += w * v[row, j, shared]
    return y


@pytest.mark.parametrize("shape", [(2, 5, 5, 4, 2, 3), (2, 3, 7, 2, 2, 4), (1, 1, 1, 1, 1, 1)])
@pytest.mark.parametrize("name", attention_masks(2, 5, 5))
def test_equals_the_definition(impl, shape, name):
    b, t, s, h, g, d = shape
    rng = np.random.default_rng(0)
    q, k, v = rng.standard_normal((b, t, h, d)), rng.standard_normal((b, s, g, d)), rng.standard_normal((b, s, g, d))
    mask = attention_masks(b, t, s)[name]

    def allowed(row, i, j):
        distance = i + s - t - j
        near = not mask.window or abs(distance) < mask.window
        return near and (not mask.causal or distance >= 0) and (mask.key_padding is None or mask.key_padding[row, j])

    y, _ = impl.attention_forward(q, k, v, mask=mask)
    np.testing.assert_allclose(y, by_loops(q, k, v, allowed), rtol=1e-12, atol=1e-14)


def test_nothing_to_attend_to_gives_zeros_and_no_gradient(impl):
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, 3, 2, 4)) for _ in range(3))
    mask = ops.Mask(causal=True, key_padding=np.array([[0, 0, 1], [0, 0, 0]], dtype=bool))
    y, cache = impl.attention_forward(q, k, v, mask=mask)
    assert (y[0, :2] == 0).all() and (y[1] == 0).all() and (y[0, 2] == v[0, 2]).all()
    for gradient in impl.attention_backward(np.ones_like(y), cache):
        assert np.isfinite(gradient).all() and (gradient[1] == 0).all()


@pytest.mark.parametrize("level", [-95.0, -80.0, -26.0, 0.0, 26.0, 80.0, 95.0])
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 3e-5)])
def test_scores_at_any_level_give_what_their_differences_say(level, dtype, tolerance):
    rng = np.random.default_rng(0)
    q, k, v, dy = (rng.standard_normal((2, 5, 2, 4)) for _ in range(4))
    q[..., 0], k[..., 0] = 1.0, 0.0
    expected, cache = ops.attention_forward(q, k, v, mask=ops.Mask(causal=True))
    gradients = ops.attention_backward(dy, cache)
    k[:, :, 0, 0] = 2.0 * level  # the same for all keys of the first head, so the softmax does not notice
    q, k, v, dy = (x.astype(dtype) for x in (q, k, v, dy))
    y, cache = fast.attention_forward(q, k, v, mask=ops.Mask(causal=True))
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)
    for ours, theirs in zip(fast.attention_backward(dy, cache)[1:], gradients[1:], strict=True):  # dq sees the level
        np.testing.assert_allclose(ours, theirs, rtol=10 * tolerance, atol=10 * tolerance)


def test_sixteen_bits_do_not_overflow():
    q = np.full((1, 4, 1, 4), 2.4, dtype=np.float16)  # scores of 23: exp(23) is no float16
    y, _ = fast.attention_forward(q, 2 * q, q, mask=ops.Mask(causal=True))
    np.testing.assert_allclose(y, q, rtol=1e-2)


def test_scores_too_large_for_exp_stay_finite(impl):
    q = np.full((1, 4, 1, 2), 1e3, dtype=np.float32)
    y, cache = impl.attention_forward(q, q, q, mask=ops.Mask(causal=True))
    assert np.isfinite(y).all()
    assert all(np.isfinite(g).all() for g in impl.attention_backward(y, cache))


def test_a_window_as_long_as_the_text_is_dense_attention_bit_for_bit(impl):
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, 6, 2, 4)).astype(np.float32) for _ in range(3))
    dense, _ = impl.attention_forward(q, k, v, mask=ops.Mask(causal=True))
    for window in (6, 7, 100):
        banded, _ = impl.attention_forward(q, k, v, mask=ops.Mask(causal=True, window=window))
        np.testing.assert_array_equal(banded, dense)
    narrow, _ = impl.attention_forward(q, k, v, mask=ops.Mask(causal=True, window=5))
    assert (narrow[:, 5] != dense[:, 5]).any() and (narrow[:, :5] == dense[:, :5]).all()


def test_the_future_has_no_influence(impl):
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((1, 6, 2, 4)) for _ in range(3))
    y, _ = impl.attention_forward(q, k, v, mask=ops.Mask(causal=True))
    k[:, 4:], v[:, 4:] = 9.0, -9.0
    changed, _ = impl.attention_forward(q, k, v, mask=ops.Mask(causal=True))
    assert (changed[:, :4] == y[:, :4]).all() and (changed[:, 4:] != y[:, 4:]).all()


@pytest.mark.parametrize(
    "name", some(attention_masks(2, 5, 5), ["causal-left-padded", "banded-padded"], "two of the masks")
)
@pytest.mark.parametrize("dropout", some([0.0, 0.25], [0.25], "the same with dropout"))
@pytest.mark.parametrize("shape", [(2, 530, 530, 4, 2, 3), (2, 70, 1000, 2, 2, 4)])
def test_many_tiles_equal_the_plain_version(shape, name, dropout):
    """From 512 keys on the fast version recomputes probabilities tile by tile; the dropped entries stay the same."""
    b, t, s, h, g, d = shape
    rng = np.random.default_rng(0)
    q, k, v = rng.standard_normal((b, t, h, d)), rng.standard_normal((b, s, g, d)), rng.standard_normal((b, s, g, d))
    dy = rng.standard_normal(q.shape)
    mask = attention_masks(b, t, s)[name]
    if mask.window:
        mask = mask._replace(window=100 * mask.window)
    options = {"mask": mask, "dropout": dropout, "key": ops.DropoutKey(1, 2, 3, 4)}
    results = []
    for implementation in (ops, fast):
        y, cache = implementation.attention_forward(q, k, v, **options)
        results.append((y, *implementation.attention_backward(dy, cache)))
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_memory_of_a_long_text_does_not_hold_all_scores():
    q = np.random.default_rng(0).standard_normal((1, 2048, 1, 4), dtype=np.float32)
    _, cache = fast.attention_forward(q, q, q, mask=ops.Mask(causal=True))
    kept = {id(x.base if x.base is not None else x): x.nbytes for x in cache if isinstance(x, np.ndarray)}
    assert sum(kept.values()) < 2048 * 2048 * 4 / 20


@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_keys_that_no_query_sees_have_no_gradient(impl, dropout):
    """Several tiles whose probabilities are kept, behind 100 keys of which a window shows the last 39."""
    rng = np.random.default_rng(0)
    q, dy = rng.standard_normal((2, 2, 100, 2, 3))
    k, v = rng.standard_normal((2, 2, 200, 1, 3))
    options = {"mask": ops.Mask(causal=True, window=40), "dropout": dropout, "key": ops.DropoutKey(1, 2, 3, 4)}
    results = []
    for implementation in (ops, impl):
        y, cache = implementation.attention_forward(q, k, v, **options)
        results.append((y, *implementation.attention_backward(dy, cache)))
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    _, _, dk, dv = results[1]
    assert not dk[:, :61].any() and not dv[:, :61].any() and dk[:, 61:].all() and dv[:, 61:].all()
