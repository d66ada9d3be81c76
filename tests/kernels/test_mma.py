"""Tensor-core attention, emulated, against float64: as wrong as its precision makes it, and no more."""

import itertools

import ml_dtypes
import numpy as np
import pytest

from minigpt import ops
from minigpt.core.errors import UserError
from minigpt.kernels.emulator import ORDERS, Emulation
from minigpt.kernels.mma import Mma, backward_tiles, forward_tiles
from minigpt.lab.exact_attention import Attention, excess

from ..tiers import some
from .covering import pairwise

DTYPES = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16, "tf32": np.float32}
SHAPES = {  # (B, T, S, H, G): tiles have 16 to 128 rows
    "one": (1, 1, 1, 1, 1),
    "self": (2, 67, 67, 2, 2),
    "grouped": (1, 70, 70, 4, 2),
    "cross": (2, 37, 150, 2, 1),
    "cross-long": (1, 131, 21, 2, 2),
    "whole-tiles": (1, 128, 128, 1, 1),
}


def masks(b, t, s):
    padding = np.arange(s) < np.linspace(s, s // 2, b).astype(int)[:, None]
    return {
        "none": ops.Mask(),
        "causal": ops.Mask(causal=True),
        "padded": ops.Mask(key_padding=padding & (np.arange(b)[:, None] < max(b - 1, 1))),  # a row without any key
        "banded": ops.Mask(causal=True, window=29),
        "two-sided": ops.Mask(window=9, key_padding=padding[:, ::-1]),
    }


FACTORS = {
    "dtype": list(DTYPES),
    "d": [16, 48, 64, 80, 128],
    "shape": list(SHAPES),
    "mask": list(masks(1, 1, 1)),
    "dropout": [0.0, 0.3],
    "atomic": [False, True],
    "fused": [False, True],
}


def identity(case):
    return "-".join(str(value) for value in case.values())


def draw(case):
    """q, k, v, dy and the settings of a case; fused: q, k and v are views of one array, as in self-attention."""
    b, t, s, h, g = SHAPES[case["shape"]]
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape).astype(DTYPES[case["dtype"]])

    q, k, v, dy = (normal(*shape, case["d"]) for shape in ((b, t, h), (b, s, g), (b, s, g), (b, t, h)))
    if case["fused"]:
        q, kv = normal(b, t, h + 3, case["d"])[:, :, 2:-1], normal(b, s, 2 * g, case["d"])
        k, v = kv[:, :, :g], kv[:, :, g:]
    settings = {"mask": masks(b, t, s)[case["mask"]], "dropout": case["dropout"], "key": ops.DropoutKey(1, 2, 3, 4)}
    return (q, k, v, dy), settings


def check(case, order):
    (q, k, v, dy), settings = draw(case)
    attention = Mma(emulation=Emulation(order), atomic_dq=case["atomic"])
    y, cache = attention.attention_forward(q, k, v, **settings)
    result = Attention(y, *attention.attention_backward(dy, cache))
    assert all(x.dtype == q.dtype for x in result)
    used = excess(result, q, k, v, dy, **settings)
    assert max(used.values()) <= 1, (order, used)
    return result


def check_orders(case):
    first, *others = [check(case, order) for order in ORDERS]
    for other in others:  # the order of threads changes nothing, except that of atomic additions
        for name in ("y", "dk", "dv", *(() if case["atomic"] else ("dq",))):
            np.testing.assert_array_equal(getattr(first, name), getattr(other, name))


@pytest.mark.parametrize("dtype", some(DTYPES, ["float16"], "the same in float16"))
def test_each_number_type_in_every_thread_order(dtype):
    settings = {"shape": "cross", "d": 16, "mask": "padded", "dropout": 0.3, "fused": True}
    check_orders({"dtype": dtype, "atomic": False, **settings})


@pytest.mark.slow("test_each_number_type_in_every_thread_order")
@pytest.mark.parametrize("case", pairwise(FACTORS), ids=identity)
def test_every_pair_of_options_in_every_thread_order(case):
    check_orders(case)


@pytest.mark.exhaustive
@pytest.mark.parametrize("d", range(16, 129, 16))
@pytest.mark.parametrize("dtype", DTYPES)
def test_all_options(dtype, d):
    rest = {name: values for name, values in FACTORS.items() if name not in ("dtype", "d")}
    for i, values in enumerate(itertools.product(*rest.values())):
        check({"dtype": dtype, "d": d, **dict(zip(rest, values, strict=True))}, ORDERS[i % len(ORDERS)])


def test_log_sum_exp_is_what_it_says():
    case = {"dtype": "float16", "d": 16, "shape": "self", "mask": "padded", "dropout": 0.3, "fused": True}
    (q, k, v, _), settings = draw(case)
    _, cache = Mma(emulation=Emulation()).attention_forward(q, k, v, **settings)
    q, k = (x.astype(np.float64).transpose(0, 2, 1, 3) for x in (q, k))
    z = np.where(settings["mask"].allowed(np, 67, 67)[:, 0], q @ k.swapaxes(-1, -2) / 4, -np.inf)
    real = np.isfinite(z.max(axis=-1))
    np.testing.assert_allclose(cache.lse[real], np.log(np.exp(z).sum(axis=-1)[real]), rtol=1e-5, atol=1e-5)
    assert (cache.lse[~real] == np.inf).all() and (~real).any()


@pytest.mark.slow("test_scores_too_large_for_exp in test_ladder.py")
def test_large_scores_do_not_overflow():
    """Scores of ±60,000 in float16: the softmax is one key, and nothing is NaN."""
    rng = np.random.default_rng(0)
    q, k = (np.sign(rng.standard_normal((1, 40, 1, 64))).astype(np.float16) * 30 for _ in range(2))
    v, dy = (rng.standard_normal((1, 40, 1, 64)).astype(np.float16) for _ in range(2))
    attention = Mma(emulation=Emulation())
    y, cache = attention.attention_forward(q, k, v, scale=1.0)
    result = Attention(y, *attention.attention_backward(dy, cache))
    assert max(excess(result, q, k, v, dy, scale=1.0).values()) <= 1


@pytest.mark.slow("test_no_queries_and_no_keys in test_ladder.py")
def test_no_rows_and_no_keys():
    attention = Mma(emulation=Emulation())
    for t, s in ((0, 3), (3, 0)):
        q, k = np.ones((2, t, 2, 16), np.float16), np.ones((2, s, 2, 16), np.float16)
        y, cache = attention.attention_forward(q, k, k)
        gradients = attention.attention_backward(np.ones_like(y), cache)
        assert not y.any() and not any(g.any() for g in gradients)


@pytest.mark.slow("test_each_number_type_in_every_thread_order: gradients that are aligned")
def test_a_gradient_that_is_not_aligned_is_copied():
    case = {"dtype": "float16", "d": 16, "shape": "cross", "mask": "padded", "dropout": 0.3, "fused": True}
    (q, k, v, dy), settings = draw(case)
    attention = Mma(emulation=Emulation())
    _, cache = attention.attention_forward(q, k, v, **settings)
    wide = np.zeros((*dy.shape[:3], 2 * dy.shape[3]), dy.dtype)
    wide[..., ::2] = dy
    for a, b in zip(
        attention.attention_backward(wide[..., ::2], cache), attention.attention_backward(dy, cache), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("q", "settings", "message"),
    [
        (np.ones((1, 2, 1, 24), np.float16), {}, "16 to 128 numbers, in multiples of 16, not of 24"),
        (np.ones((1, 2, 1, 144), np.float16), {}, "16 to 128 numbers, in multiples of 16, not of 144"),
        (np.ones((1, 2, 1, 16)), {}, "computes in bfloat16, float16, float32, not in float64"),
        (np.ones((1, 2, 1, 16), np.float16), {"scale": -1.0}, "a positive scale"),
        (np.ones((1, 2, 1, 36), np.float16)[..., 4:20], {}, "q must be aligned to 16 bytes"),
    ],
)
def test_what_the_kernels_cannot_do_is_refused(q, settings, message):
    with pytest.raises((UserError, ValueError), match=message):
        Mma(emulation=Emulation()).attention_forward(q, q, q, **settings)


def place(row, chunk, chunks):
    """The swizzle of mma.cuh."""
    p = 8 if chunks % 8 == 0 else 4 if chunks % 4 == 0 else 2
    return row * chunks + (chunk ^ (row // (8 // p) % p))


@pytest.mark.parametrize("chunks", range(2, 33, 2))
def test_the_swizzle_is_free_of_bank_conflicts(chunks):
    """ldmatrix reads one chunk of 8 neighbouring rows at a time: 8 places that differ modulo 8 are all 32 banks."""
    for first in range(0, 64, 8):
        for chunk in range(chunks):
            assert len({place(first + r, chunk, chunks) % 8 for r in range(8)}) == 8
    assert sorted(place(r, c, chunks) for r in range(16) for c in range(chunks)) == list(range(16 * chunks))


@pytest.mark.parametrize("d", range(16, 129, 16))
def test_tf32_numbers_are_fetched_with_few_bank_conflicts(d):
    """load_right_transposed: 32 lanes read rows 2t (or 2t + 1), columns g; a bank serves one, or two where 32 ∤ D."""
    for odd in (0, 1):
        words = [(place(2 * t + odd, g // 4, d // 4) * 4 + g % 4) % 32 for t in range(4) for g in range(8)]
        assert max(words.count(bank) for bank in words) == (1 if d % 32 == 0 else 2)


@pytest.mark.parametrize("d", range(16, 129, 16))
@pytest.mark.parametrize("dtype", DTYPES.values())
def test_tiles_fit_the_smallest_shared_memory(dtype, d):
    """99 kB a block is what an RTX 3090 or 4090 has (atomic additions need up to 8 kB more for dZ)."""
    size = np.dtype(dtype).itemsize
    forward, backward = forward_tiles(dtype, d), backward_tiles(dtype, d)
    assert size * d * (forward.own + 4 * forward.stream) <= 99 * 1024
    two = size * d * 2 * (backward.own + 2 * backward.stream) + 16 * backward.stream
    assert two <= 99 * 1024
    assert 2 * backward.stream <= 128  # a thread for each lse and δ
