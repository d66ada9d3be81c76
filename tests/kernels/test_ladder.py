"""The fp32 rungs, emulated, against float64: every pair of options, in every thread order."""

import numpy as np
import pytest

from minigpt import ops
from minigpt.core.errors import UserError
from minigpt.kernels.attention import Flash, Naive, Tiled
from minigpt.kernels.emulator import ORDERS, Emulation

from ..tiers import some
from .attention_cases import BOUND, FACTORS, RUNGS, draw, errors, full_product, identity, run
from .covering import pairwise


def check(case, order):
    arrays, settings = draw(case)
    result = run(RUNGS[case["rung"]](emulation=Emulation(order)), arrays, settings)
    found = errors(result, arrays, settings)
    assert max(found.values()) <= BOUND, (order, found)
    return result


def check_orders(case):
    first, *others = [check(case, order) for order in ORDERS]
    for other in others:  # the order of threads and blocks changes no bit, except in atomic additions
        for name in ("y", "dk", "dv", *(() if case["rung"] == "flash-atomic" else ("dq",))):
            np.testing.assert_array_equal(getattr(first, name), getattr(other, name))


@pytest.mark.parametrize("rung", some(RUNGS, ["naive", "tiled", "flash"], "flash"))
def test_each_rung_in_every_thread_order(rung):
    check_orders({"rung": rung, "shape": "self", "d": 16, "mask": "all", "dropout": 0.3, "fused": True})


@pytest.mark.slow("test_each_rung_in_every_thread_order")
@pytest.mark.parametrize("case", pairwise(FACTORS), ids=identity)
def test_every_pair_of_options_in_every_thread_order(case):
    check_orders(case)


@pytest.mark.exhaustive
@pytest.mark.parametrize("rung", RUNGS)
def test_all_options(rung):
    for i, case in enumerate(case for case in full_product() if case["rung"] == rung):
        check(case, ORDERS[i % len(ORDERS)])


@pytest.mark.parametrize("rung", some(RUNGS, ["naive", "tiled", "flash"], "flash"))
def test_nothing_to_look_at_gives_zeros(rung):
    q = np.ones((2, 3, 2, 16), np.float32)
    mask = ops.Mask(causal=True, key_padding=np.array([[0, 0, 1], [0, 0, 0]], dtype=bool))
    result = run(RUNGS[rung](emulation=Emulation()), (q, q, q, q), {"mask": mask})
    assert (result.y[0, :2] == 0).all() and (result.y[0, 2] == 1).all()
    assert all((x[1] == 0).all() for x in result)


@pytest.mark.parametrize("rung", some(RUNGS, ["naive", "tiled", "flash"], "flash"))
@pytest.mark.parametrize("sizes", [(0, 3), (3, 0)])
def test_no_queries_and_no_keys(rung, sizes):
    q, k = (np.ones((2, n, 2, 16), np.float32) for n in sizes)
    result = run(RUNGS[rung](emulation=Emulation()), (q, k, k, q), {})
    assert all((x == 0).all() for x in result)


@pytest.mark.parametrize("rung", some(RUNGS, ["naive", "tiled", "flash"], "flash"))
def test_scores_too_large_for_exp(rung):
    q = np.full((1, 20, 1, 16), 300.0, np.float32)
    result = run(RUNGS[rung](emulation=Emulation()), (q, q, q, q), {"mask": ops.Mask(causal=True)})
    assert all(np.isfinite(x).all() for x in result)
    np.testing.assert_allclose(result.y, q, rtol=1e-6)


def test_flash_keeps_no_matrix_of_scores():
    q = np.ones((1, 50, 1, 16), np.float32)
    _, cache = Flash(emulation=Emulation()).attention_forward(q, q, q)
    assert cache.lse.shape == (1, 1, 50)
    np.testing.assert_allclose(cache.lse, 4 + np.log(50), rtol=1e-6)  # 50 scores of 16/√16


def test_results_without_out_are_new_arrays():
    arrays, settings = draw({"shape": "self", "d": 16, "mask": "causal", "dropout": 0.3, "fused": True})
    for rung in (Naive, Tiled, Flash):
        attention = rung(emulation=Emulation())
        y, cache = attention.attention_forward(*arrays[:3], **settings)
        for a, b in zip(
            (y, *attention.attention_backward(arrays[3], cache)), run(attention, arrays, settings), strict=True
        ):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_naive_and_tiled_take_any_head_width():
    rng = np.random.default_rng(0)
    arrays = tuple(rng.standard_normal((1, 9, 2, 5)).astype(np.float32) for _ in range(4))
    for rung in (Naive, Tiled):
        assert max(errors(run(rung(emulation=Emulation()), arrays, {}), arrays, {}).values()) <= BOUND


@pytest.mark.parametrize("width", [4, 12, 136])
def test_flash_refuses_other_head_widths(width):
    q = np.ones((1, 2, 1, width), np.float32)
    with pytest.raises(UserError, match=f"heads of 8 to 128 numbers, in multiples of 8, not of {width}"):
        Flash(emulation=Emulation()).attention_forward(q, q, q)


def test_what_a_kernel_would_misread_is_refused():
    q = np.ones((1, 2, 4, 16), np.float32)
    attention = Flash(emulation=Emulation())
    for arrays, message in [
        ((q.astype(np.float64), q, q), "q is float64, but this kernel takes float32"),
        ((q, q.astype(np.float64), q), "k is float64, but this kernel takes float32"),
        ((q, q, q[:, :1]), r"v has shape \(1, 1, 4, 16\), expected \(1, 2, 4, 16\)"),
        ((q, q[:, :, :3], q[:, :, :3]), "3 key-value heads cannot serve 4 query heads evenly"),
    ]:
        with pytest.raises((UserError, TypeError, ValueError), match=message):
            attention.attention_forward(*arrays)
    many = np.ones((70000, 1, 1, 16), np.float32)
    with pytest.raises(UserError, match="too many for one launch"):
        attention.attention_forward(many, many, many)
    with pytest.raises(UserError, match="with emulate=True"):
        Flash().attention_forward(q, q, q)
    _, cache = attention.attention_forward(q, q, q)
    with pytest.raises(ValueError, match="dy has shape"):
        attention.attention_backward(q[:, :1], cache)
