"""The fused kernels, emulated: held to the table of all operations, and to the plain ones in every number type."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest

from minigpt import ops
from minigpt.core.params import Parameters
from minigpt.kernels.emulator import ORDERS, Emulation
from minigpt.kernels.fused import Operations, operations_table
from minigpt.lab.gradcheck.cases import operation_cases
from minigpt.train.config import build_config
from minigpt.train.fused_optimizer import FusedAdamW
from minigpt.train.optimizer import AdamW, OptimizerConfig, Share
from minigpt.train.passes import Passes
from minigpt.train.state import new_optimizer
from tests.ops import test_table as table
from tests.tiers import some

from .fused_checks import DTYPES, NAMES, SPECS, WIDTHS, check

KERNELS = ("layernorm", "rmsnorm", "gelu", "cross-entropy", "embedding")
CASES = {c.name: c for c in operation_cases(operations_table(emulation=Emulation())) if c.name.startswith(KERNELS)}


FEW = ["layernorm"]


@pytest.fixture(params=some(CASES, FEW, "layernorm"), name="case")
def operation_case(request):
    return CASES[request.param]


def test_gradients_are_the_true_ones(case):
    for found in case.checks(elements=2):
        assert found.passed, found


@pytest.mark.slow("test_gradients_are_the_true_ones: the same at a few elements and along a direction")
def test_every_element_has_its_true_gradient(case):
    table.test_gradients_are_the_true_ones_at_every_element(case)


test_dtype_is_kept = pytest.mark.slow("test_parameter_gradients_accumulate: in float64")(table.test_dtype_is_kept)
test_inputs_gradient_and_cache_stay_untouched = table.test_inputs_gradient_and_cache_stay_untouched
test_non_contiguous_inputs_give_the_same = table.test_non_contiguous_inputs_give_the_same
test_out_receives_what_would_be_allocated = table.test_out_receives_what_would_be_allocated
test_parameter_gradients_accumulate = table.test_parameter_gradients_accumulate


@pytest.mark.slow("test_gradients_are_the_true_ones: in float64, in one order")
@pytest.mark.parametrize("dtype", some(DTYPES, [np.float32], "the same in float32"), ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_every_number_type_in_every_thread_order(name, width, dtype):
    table = [operations_table(emulation=Emulation(order)) for order in ORDERS]
    first, *others = [check(operations, name, dtype, width=width) for operations in table]
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a, b)  # sums have one fixed order, whatever the threads do


@pytest.mark.parametrize("name", some(["bias_gelu_tanh", "layernorm-plus"], ["bias_gelu_tanh"], "the other one"))
def test_what_is_fused_is_the_plain_operations_in_a_row(name):
    """The rest, in every number type and order of threads, is in the slow tier."""
    check(operations_table(emulation=Emulation("random:1")), name, ml_dtypes.bfloat16, width=WIDTHS[1])


@pytest.mark.slow("test_parameter_gradients_accumulate: sums in the same order")
def test_a_norm_of_the_gradient_without_an_array_of_its_size():
    g = np.random.default_rng(0).standard_normal(9000).astype(np.float32)
    squares = Operations(emulation=Emulation()).squared_norm(g)
    assert squares == pytest.approx(float(g.astype(np.float64) @ g.astype(np.float64)), rel=1e-6)


def test_the_loss_can_be_written_over_its_logits_once():
    logits = np.random.default_rng(0).standard_normal((5, 7))
    expected = ops.cross_entropy_backward(2.0, ops.cross_entropy_forward(logits, np.arange(5))[1])
    ours = logits.copy()
    in_place = Operations(emulation=Emulation(), in_place_loss=True)
    _, cache = in_place.cross_entropy_forward(ours, np.arange(5))
    dz = in_place.cross_entropy_backward(2.0, cache)
    assert np.shares_memory(dz, ours)
    np.testing.assert_allclose(dz, expected, rtol=1e-12, atol=1e-14)
    with pytest.raises(RuntimeError, match="consumed"):
        in_place.cross_entropy_backward(1.0, cache)


def test_the_kernels_say_what_they_do_not_take():
    operations = Operations(emulation=Emulation())
    with pytest.raises(TypeError, match="not int64"):
        operations.gelu_tanh_forward(np.arange(3))
    with pytest.raises(ValueError, match="up to 8192 features"):
        operations.rmsnorm_forward(np.ones((1, 8193)), np.ones(8193))
    with pytest.raises(ValueError, match="outside the vocabulary of 3 tokens"):
        operations.cross_entropy_forward(np.ones((1, 3)), np.array([3]))


@pytest.mark.parametrize("variant", some(["adamw", "openai", "bert", "fairseq"], ["bert"], "one variant"))
@pytest.mark.parametrize("dtype", some([np.float64, np.float32], [np.float32], "the same in float32"))
def test_adamw_equals_the_plain_one(variant, dtype):
    config = OptimizerConfig(variant=variant, beta2=0.999, weight_decay=0.3, eps=1e-3)
    rng = np.random.default_rng(0)
    plain = Parameters(SPECS, rng.standard_normal(617).astype(dtype))
    fused = plain.copy()
    copy = np.full(600, np.nan, ml_dtypes.bfloat16) if dtype is np.float32 else None
    first, second = AdamW(plain, config), FusedAdamW(fused, config, emulation=Emulation("random:1"), copy=copy)
    for _ in range(3):
        g = rng.standard_normal(617).astype(dtype)
        first.step(plain, Parameters(SPECS, g.copy()), 0.01, scale=0.5)
        second.step(fused, Parameters(SPECS, g), 0.01, scale=0.5)
    tolerance = {"rtol": 1e-12} if dtype is np.float64 else {"rtol": 2e-6, "atol": 1e-7}
    for a, b in ((fused.flat, plain.flat), (second.m, first.m), (second.v, first.v)):
        np.testing.assert_allclose(a, b, **tolerance)
    if copy is not None:
        np.testing.assert_array_equal(copy, fused.flat[:600].astype(ml_dtypes.bfloat16))


def test_adamw_in_parts_is_adamw():
    """A slice for each worker; the copy and the decayed parameters end inside of one, and before another."""
    config, rng = OptimizerConfig(weight_decay=0.3), np.random.default_rng(0)
    whole = Parameters(SPECS, rng.standard_normal(617).astype(np.float32))
    parts, grads = whole.copy(), Parameters(SPECS, rng.standard_normal(617).astype(np.float32))
    copies = [np.full(600, np.nan, ml_dtypes.bfloat16) for _ in range(2)]
    first, second = (
        FusedAdamW(p, config, emulation=Emulation("random:1"), copy=copy)
        for p, copy in zip((whole, parts), copies, strict=True)
    )
    first.step(whole, grads, 0.01, scale=0.5)
    for start, stop in ((0, 300), (300, 610), (610, 610), (610, 617)):
        second.step(parts, grads, 0.01, scale=0.5, share=Share(1, start, stop))
    for a, b in ((whole.flat, parts.flat), (first.m, second.m), (first.v, second.v), copies):
        np.testing.assert_array_equal(a, b)


def test_cases_are_all_there():
    names = {c.name for c in operation_cases() if c.name.startswith(KERNELS)}
    assert set(CASES) == names and len(names) >= 15
    assert all(dataclasses.is_dataclass(c) for c in CASES.values())


def test_weights_of_16_bits_are_the_optimizer_s_copy():
    """Nobody turns all weights to 16 bits again each step: AdamW writes both, and passes take its copy."""
    how = {"operations": "kernels", "emulate": True, "compute": "bfloat16"}
    params = Parameters(SPECS, np.random.default_rng(0).standard_normal(617).astype(np.float32))
    optimizer = new_optimizer(build_config({"train": how}), params)
    weights = Passes(compute="bfloat16").weights(params, optimizer.copy)
    assert np.shares_memory(weights["matrix"], optimizer.copy) and np.shares_memory(weights["bias"], params["bias"])
    optimizer.step(params, Parameters(SPECS, np.ones(617, np.float32)), 0.1)
    np.testing.assert_array_equal(weights["matrix"], params["matrix"].astype(ml_dtypes.bfloat16))
