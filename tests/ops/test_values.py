"""Values of single operations at points where the right answer is known from elsewhere."""

import math

import numpy as np
import pytest

from minigpt import fast, ops


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
        ops.position_forward(np.zeros((1, 4, 2)), np.zeros((5, 2)), positions=2)


def test_cross_entropy_of_uniform_scores_is_log_v():
    loss, _ = ops.cross_entropy_forward(np.zeros((2, 3, 11)), np.array([[0, 1, 2], [10, ops.IGNORE, 5]]))
    assert loss == pytest.approx(math.log(11), rel=1e-15)


def test_cross_entropy_of_a_vocabulary_of_one_is_zero():
    """Also where a row is ignored: no other class is looked up for it."""
    for implementation in (ops, fast):
        loss, cache = implementation.cross_entropy_forward(np.array([[3.0], [-2.0]]), np.array([0, ops.IGNORE]))
        assert loss == 0.0 and (implementation.cross_entropy_backward(1.0, cache) == 0).all()


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


def test_rmsnorm_divides_by_the_root_mean_square():
    x = np.array([[3.0, -4.0], [0.0, 0.0]])
    y, _ = ops.rmsnorm_forward(x, np.array([1.0, 2.0]), eps=0.5)
    assert y[0] == pytest.approx([3 / math.sqrt(13), -8 / math.sqrt(13)], rel=1e-15) and (y[1] == 0).all()
    shifted, _ = ops.rmsnorm_forward(x + 100, np.ones(2))  # unlike LayerNorm it does not take the mean off
    assert shifted.min() > 0.9


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_silu_and_swiglu_by_the_logistic_function(implementation):
    x = np.linspace(-40, 40, 801)
    expected = [value / (1 + math.exp(-value)) for value in x]
    np.testing.assert_allclose(implementation.silu_forward(x)[0], expected, rtol=1e-12, atol=1e-14)
    y, _ = implementation.swiglu_forward(np.stack([x, 3 + x], axis=-1))  # one gate beside one number
    np.testing.assert_allclose(y[:, 0], expected * (3 + x), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="an even number of features, not 3"):
        implementation.swiglu_forward(np.zeros((2, 4, 3)))


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
@pytest.mark.parametrize("name", ["silu", "swiglu", "gelu_erf", "gelu_tanh", "tanh"])
def test_activations_of_huge_numbers_stay_finite(implementation, name):
    x = np.array([[-1e30, 1e30], [-1e4, 1e4]], dtype=np.float32)
    with np.errstate(over="ignore", invalid="raise"):
        y, cache = implementation.ACTIVATIONS[name][0](x if name != "gelu_tanh" else x / 1e25)
        gradient = implementation.ACTIVATIONS[name][1](np.ones_like(y), cache)
    assert not np.isnan(y).any() and not np.isnan(gradient).any()


def test_fast_gelu_by_erf_in_single_precision_is_as_exact_as_its_rounding():
    x = np.linspace(-12, 12, 200001, dtype=np.float32)
    y, cache = fast.gelu_erf_forward(x[None])
    exact = ops.gelu_erf_forward(x.astype(float))[0]
    slope = ops.gelu_erf_backward(np.ones(x.size), ops.gelu_erf_forward(x.astype(float))[1])
    assert (np.abs(y[0] - exact) <= 1.5e-7 * np.maximum(1, np.abs(exact))).all()
    assert np.abs(fast.gelu_erf_backward(np.ones_like(x)[None], cache)[0] - slope).max() <= 3e-7


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_rope_turns_points_as_complex_numbers(implementation):
    """x_j + i y_j times exp(i m θ_j), in both layouts; `out` may be x itself."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 2, 5, 3, 4))  # the points' coordinates, (B, T, H, D/2)
    m = np.array([[0, 0, 0, 1, 2], [7, 8, 9, 10, 11]])
    turned = (a + 1j * b) * np.exp(1j * m[..., None, None] * 10000.0 ** (-np.arange(4) / 4))
    for layout, join in [
        ("half", lambda a, b: np.concatenate([a, b], axis=-1)),
        ("interleaved", lambda a, b: np.stack([a, b], axis=-1).reshape(2, 5, 3, 8)),
    ]:
        x, rope = join(a, b), ops.Rope(layout=layout)
        y, cache = implementation.rope_forward(x, rope, positions=m)
        np.testing.assert_allclose(y, join(turned.real, turned.imag), rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(implementation.rope_backward(y, cache), x, rtol=1e-13, atol=1e-14)
        wide = np.full((2, 5, 4, 8), np.nan)
        wide[:, :, 1:] = x
        assert implementation.rope_forward(wide[:, :, 1:], rope, positions=m, out=wide[:, :, 1:])[0].base is wide
        np.testing.assert_array_equal(wide[:, :, 1:], y)
        one_by_one = [implementation.rope_forward(x[1:, t : t + 1], rope, positions=7 + t)[0] for t in range(5)]
        np.testing.assert_array_equal(np.concatenate(one_by_one, axis=1), y[1:])  # what a cache holds


def test_rope_begins_at_place_0():
    cos, sin = (x.reshape(3, 2) for x in ops.rope.rope_table(np, 3, 4, ops.Rope(10.0)))
    assert (cos[0] == 1).all() and (sin[0] == 0).all() and (sin[1] != 0).any()


def test_rope_needs_pairs():
    with pytest.raises(ValueError, match="turn pairs of numbers, but a head has 3"):
        ops.rope_forward(np.zeros((1, 1, 1, 3)), ops.Rope())


def test_scaled_rope_frequencies_as_llama_computes_them():
    """Three ranges of wavelengths, written as in Meta's code, with a loop and branches."""
    from minigpt.ops.rope import rope_frequencies

    factor, low, high, context = scaling = ops.RopeScaling()
    expected = []
    for frequency in rope_frequencies(128, ops.Rope(500000.0)):
        wavelength = 2 * math.pi / frequency
        if wavelength < context / high:
            expected.append(frequency)
        elif wavelength > context / low:
            expected.append(frequency / factor)
        else:
            smooth = (context / wavelength - low) / (high - low)
            expected.append((1 - smooth) * frequency / factor + smooth * frequency)
    scaled = rope_frequencies(128, ops.Rope(500000.0, scaling=scaling))
    np.testing.assert_allclose(scaled, expected, rtol=1e-14)
    assert len({round(f / s, 3) for f, s in zip(rope_frequencies(128, ops.Rope(500000.0)), scaled, strict=True)}) > 2


@pytest.mark.parametrize("width", [6, 7])
def test_sinusoids_of_the_paper_and_of_its_code(width):
    paper, code = ops.sinusoid_table(50, width), ops.sinusoid_table(50, width, layout="halves")
    half = width // 2
    for m in (0, 1, 49):
        for i in range(width):
            angle = m / 10000 ** (2 * (i // 2) / width)
            assert paper[m, i] == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle), abs=1e-15)
        for i in range(half):
            angle = m / 10000 ** (i / (half - 1))
            assert code[m, i] == pytest.approx(math.sin(angle), abs=1e-15)
            assert code[m, half + i] == pytest.approx(math.cos(angle), abs=1e-15)
    assert code.shape == paper.shape == (50, width) and (width % 2 == 0 or (code[:, -1] == 0).all())
    with pytest.raises(ValueError, match="interleaved"):
        ops.sinusoid_table(5, 4, layout="other")


def test_positions_given_for_every_token():
    table, x = np.arange(10.0).reshape(5, 2), np.zeros((2, 3, 2))
    ids = np.array([[0, 0, 1], [2, 3, 4]])
    y, cache = ops.position_forward(x, table, positions=ids)
    np.testing.assert_array_equal(y, table[ids])
    dtable = np.zeros_like(table)
    ops.position_backward(np.ones_like(y), cache, dtable)
    assert dtable[:, 0].tolist() == [2, 1, 1, 1, 1]  # position 0 is used twice
    assert ops.position_backward(np.ones_like(y), cache, None).shape == x.shape  # a fixed table
    with pytest.raises(ValueError, match="6 positions do not fit the model's context of 5"):
        ops.position_forward(x, table, positions=ids + 1)


def test_the_fast_normal_tail_is_as_close_as_it_says():
    from minigpt.fast.activation import TAIL, P

    z = np.linspace(0, 12, 40001)
    t = 1 / (1 + P * z)
    tail = np.exp(-z * z / 2) * np.polyval([*TAIL, 0.0], t)
    exact = np.array([0.5 * math.erfc(value / math.sqrt(2)) for value in z])
    assert 4e-9 < np.abs(tail - exact).max() < 5.1e-9


def test_all_activations_but_swiglu_keep_the_number_of_features():
    assert set(ops.ELEMENTWISE) == set(ops.ACTIVATIONS) - {"swiglu"}
