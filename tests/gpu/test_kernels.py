"""Every PTX instruction and every kernel on a GPU, against float64; and the same bits every time."""

import ml_dtypes
import numpy as np
import pytest

from minigpt import ops
from minigpt.core.params import Parameters
from minigpt.kernels.attention import Flash, Naive, Tiled
from minigpt.kernels.fused import operations_table
from minigpt.kernels.mma import Mma
from minigpt.lab.exact_attention import Attention, excess
from minigpt.ops._common import product
from minigpt.train.fused_optimizer import FusedAdamW
from minigpt.train.optimizer import AdamW, OptimizerConfig
from tests.kernels import attention_cases, fused_checks, test_mma
from tests.kernels.covering import pairwise
from tests.kernels.ptx_checks import CHECKS

from .conftest import REPEATS


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_instruction(device, check):
    check(device)


def attend(device, attention, q, k, v, dy, mask=ops.NO_MASK, **settings):
    """Forward and backward on the device; the results as NumPy arrays."""
    padding = device.put(mask.key_padding)
    on_device = [device.put(x) for x in (q, k, v)]
    y, cache = attention.attention_forward(*on_device, mask=mask._replace(key_padding=padding), **settings)
    return Attention(*map(device.get, (y, *attention.attention_backward(device.put(dy), cache))))


@pytest.mark.parametrize("case", pairwise(test_mma.FACTORS), ids=test_mma.identity)
def test_tensor_core_attention(device, case):
    arrays, settings = test_mma.draw(case)
    result = attend(device, Mma(atomic_dq=case["atomic"]), *arrays, **settings)
    used = excess(result, *arrays, **settings)
    assert max(used.values()) <= 1, used


@pytest.mark.parametrize("case", pairwise(attention_cases.FACTORS), ids=attention_cases.identity)
def test_float32_attention(device, case):
    arrays, settings = attention_cases.draw(case)
    result = attend(device, attention_cases.RUNGS[case["rung"]](), *arrays, **settings)
    assert max(attention_cases.errors(result, arrays, settings).values()) <= attention_cases.BOUND


@pytest.mark.parametrize("width", fused_checks.WIDTHS)
@pytest.mark.parametrize("name", fused_checks.NAMES)
@pytest.mark.parametrize("dtype", fused_checks.DTYPES, ids=lambda d: np.dtype(d).name)
def test_fused_kernel(device, name, dtype, width):
    fused_checks.check(operations_table(), name, dtype, device, width)


@pytest.mark.parametrize("variant", ["adamw", "openai", "bert", "fairseq"])
def test_adamw(device, variant):
    config = OptimizerConfig(variant=variant, beta2=0.999, weight_decay=0.3, eps=1e-3)
    rng, specs = np.random.default_rng(0), fused_checks.SPECS
    plain = Parameters(specs, rng.standard_normal(617).astype(np.float32))
    fused = Parameters(specs, device.put(plain.flat.copy()))
    copy = device.xp.zeros(600, ml_dtypes.bfloat16)
    first, second = AdamW(plain, config), FusedAdamW(fused, config, copy=copy)
    for _ in range(3):
        g = rng.standard_normal(617).astype(np.float32)
        first.step(plain, Parameters(specs, g.copy()), 0.01, scale=0.5)
        second.step(fused, Parameters(specs, device.put(g)), 0.01, scale=0.5)
    np.testing.assert_allclose(device.get(fused.flat), plain.flat, rtol=2e-6, atol=1e-7)
    np.testing.assert_array_equal(device.get(copy), device.get(fused.flat)[:600].astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16], ids=["bfloat16", "float16"])
def test_matrix_products_of_16_bits_are_summed_in_float32(device, dtype):
    """In 16 bits a sum of ones would stop growing at 256 (bfloat16) or 2048 (float16)."""
    ones = device.put(np.ones((4096, 8), dtype))
    assert (device.get(product(ones.T, ones)).astype(np.float64) == 4096).all()
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((70, 300)).astype(dtype), rng.standard_normal((300, 50)).astype(dtype)
    result = device.get(product(device.put(a), device.put(b))).astype(np.float64)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert np.abs(result - exact).max() <= np.abs(exact).max() * float(ml_dtypes.finfo(dtype).eps)


DETERMINISTIC = {"naive": Naive, "tiled": Tiled, "flash": Flash, "mma": Mma}


@pytest.mark.parametrize("rung", DETERMINISTIC)
def test_attention_gives_the_same_bits_every_time(device, rung):
    dtype = "bfloat16" if rung == "mma" else "tf32"
    case = {"dtype": dtype, "d": 64, "shape": "grouped", "mask": "causal", "dropout": 0.3, "fused": False}
    arrays, settings = test_mma.draw(case)
    first, *others = [attend(device, DETERMINISTIC[rung](), *arrays, **settings) for _ in range(REPEATS)]
    assert all(np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("name", fused_checks.NAMES)
def test_fused_kernels_give_the_same_bits_every_time(device, name):
    first, *others = [fused_checks.run(operations_table(), name, ml_dtypes.bfloat16, device) for _ in range(REPEATS)]
    assert all(np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True))


SMOKE = {  # calls of CuPy that the code makes on arrays of 16 bits, each with what NumPy makes of float32
    "add": lambda xp, x: x + x,
    "add a bias": lambda xp, x: x + x[0],
    "argmax": lambda xp, x: x.argmax(axis=-1),
    "argsort": lambda xp, x: xp.argsort(x[0].astype(np.float32), kind="stable"),
    "astype": lambda xp, x: x.astype(np.float32),
    "concatenate": lambda xp, x: xp.concatenate([x, x], axis=-1),
    "equal": lambda xp, x: (x == x.max()).sum(),
    "exp": lambda xp, x: xp.exp(x),
    "gather": lambda xp, x: x[xp.asarray(np.array([2, 0, 2]))],
    "into float32": lambda xp, x: x.astype(np.float32) + x,
    "maximum": lambda xp, x: xp.maximum(x, 0),
    "mean": lambda xp, x: x.astype(np.float32).mean(axis=-1, keepdims=True),
    "product": lambda xp, x: product(x, x.T),
    "sum": lambda xp, x: x.sum(axis=0, dtype=np.float32),
    "tanh": lambda xp, x: xp.tanh(x),
    "where": lambda xp, x: xp.where(x > 0, x, 0),
}


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.float16], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", SMOKE)
def test_calls_of_cupy(device, name, dtype):
    x = np.random.default_rng(0).permutation(60).reshape(5, 12).astype(dtype) / np.asarray(16, dtype)
    ours = device.get(SMOKE[name](device.xp, device.put(x))).astype(np.float64)
    exact = np.asarray(SMOKE[name](np, x.astype(np.float32)), np.float64)
    np.testing.assert_allclose(ours, exact, rtol=1e-5 if dtype is np.float32 else 2e-2)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16], ids=lambda d: np.dtype(d).name)
def test_scattered_gradients_of_16_bits(device, dtype):
    ids, dy = np.arange(900) % 7 * 90, np.ones((900, 4), dtype)
    table = device.xp.asarray(np.zeros((600, 4), dtype))
    ops.embedding_backward(device.put(dy), ops.embedding.EmbeddingCache(device.put(ids), 600), table)
    np.testing.assert_array_equal(device.get(table).astype(int)[::90, 0], np.bincount(ids // 90, minlength=7))
