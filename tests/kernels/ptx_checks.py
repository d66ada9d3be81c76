"""What each PTX instruction must give, said in NumPy; `device` is a GPU or the emulator."""

import ml_dtypes
import numpy as np

from minigpt.kernels.launch import module
from minigpt.lab.exact_attention import round_tf32

BF16 = np.dtype(ml_dtypes.bfloat16)


def launch(device, name, *args, blocks=1):
    """Run a kernel of ptx_test.cu on one warp a block; what it wrote, as NumPy arrays."""
    on_device = [device.put(x.copy()) for x in args]  # kernels write into them
    module("ptx_test.cu", {}, device.xp, device.emulation).launch(name, (blocks,), (32,), on_device)
    return [device.get(x) if isinstance(x0, np.ndarray) else x for x, x0 in zip(on_device, args, strict=True)]


def check_product(device, name, dtype, k):
    """Random matrices, and matrices with a single one in every place, which show any exchange of registers."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((16, k)).astype(dtype), rng.standard_normal((k, 8)).astype(dtype)
    d = rng.standard_normal((16, 8)).astype(np.float32)
    wide = (lambda x: round_tf32(x).astype(np.float64)) if dtype is np.float32 else (lambda x: x.astype(np.float64))
    bits = (lambda x: x) if dtype is np.float32 else (lambda x: x.view(np.uint16))
    *_, result = launch(device, name, bits(a), bits(b), d)
    np.testing.assert_allclose(result, d + wide(a) @ wide(b), rtol=2e-6, atol=2e-6)
    numbers = np.arange(16 * k, dtype=np.float32).reshape(16, k) % 251  # exact in every type
    for i in range(k):
        b = np.zeros((k, 8), np.float32)
        b[i, i % 8] = 1
        d = np.zeros((16, 8), np.float32)
        *_, result = launch(device, name, bits(numbers.astype(dtype)), bits(b.astype(dtype)), d)
        expected = np.zeros((16, 8))
        expected[:, i % 8] = numbers[:, i]
        np.testing.assert_array_equal(result, expected)


def check_mma_bf16(device):
    check_product(device, "test_mma_bf16", BF16, 16)


def check_mma_fp16(device):
    check_product(device, "test_mma_fp16", np.dtype(np.float16), 16)


def check_mma_tf32(device):
    check_product(device, "test_mma_tf32", np.float32, 8)


def check_ldmatrix(device):
    x = np.arange(4 * 64, dtype=np.uint16)
    _, out, transposed = launch(device, "test_ldmatrix", x, np.zeros((32, 4), np.uint32), np.zeros((32, 4), np.uint32))
    matrices = x.reshape(4, 8, 8)
    for result, m in ((out, matrices), (transposed, matrices.swapaxes(1, 2))):
        for lane in range(32):
            row, column = lane // 4, 2 * (lane % 4)
            expected = m[:, row, column].astype(np.uint32) | m[:, row, column + 1].astype(np.uint32) << 16
            np.testing.assert_array_equal(result[lane], expected)


def check_cp_async(device):
    x = np.arange(1, 3 * 128 + 1, dtype=np.float32)
    for valid in (96, 50, 0):
        early, out = np.full(128, np.nan, np.float32), np.full(3 * 128, np.nan, np.float32)
        _, early, out, _ = launch(device, "test_cp_async", x, early, out, np.int32(valid))
        expected = np.where(np.arange(3 * 128) < 4 * valid, x, 0)
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(early, expected[:128][::-1])


def check_narrowing(device):
    """Ties, overflow, subnormal float16, infinities and NaN; not float32's subnormals, which a GPU drops."""
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            rng.standard_normal(1000) * 10.0 ** rng.integers(-9, 6, 1000),
            [0, 1, 1 + 2**-9, 1 + 3 * 2**-9, 1 + 2**-8, 1 + 2**-12, 1 + 2**-11, 1 + 3 * 2**-11, 65504, 65519.9, 65520],
            [1e6, 6e-8, 2.9e-8, 3e-8, 2.0**-25, 3 * 2.0**-25, 2.0**-14, np.inf, np.nan, 3.3e38],
        ]
    ).astype(np.float32)
    n = len(x)
    outs = [np.zeros(n, np.uint32) for _ in range(3)]
    _, bf16, fp16, tf32, _, _ = launch(
        device, "test_conversions", x, *outs, np.zeros(n, np.float32), np.int32(n), blocks=-(-n // 32)
    )
    real = ~np.isnan(x)
    with np.errstate(over="ignore"):
        for packed, dtype in ((bf16, BF16), (fp16, np.dtype(np.float16))):
            low, high = ((packed >> s & 0xFFFF).astype(np.uint16).view(dtype).astype(np.float32) for s in (0, 16))
            np.testing.assert_array_equal(low[real], x[real].astype(dtype).astype(np.float32))
            np.testing.assert_array_equal(high[real], (-x[real]).astype(dtype).astype(np.float32))
            assert np.isnan(low[~real]).all()
    finite = np.isfinite(x)
    np.testing.assert_array_equal(tf32.view(np.float32)[finite], round_tf32(x)[finite])


def check_exp2(device):
    x = np.concatenate([np.linspace(-125, 127, 999), [0, -1, 1, -np.inf]]).astype(np.float32)
    n = len(x)
    outs = [np.zeros(n, np.uint32) for _ in range(3)]
    *_, power, _ = launch(
        device, "test_conversions", x, *outs, np.zeros(n, np.float32), np.int32(n), blocks=-(-n // 32)
    )
    np.testing.assert_allclose(power, np.exp2(x.astype(np.float64)), rtol=4e-7)
    assert power[-1] == 0 and power[-4] == 1


def check_widening(device):
    bits = np.arange(65536, dtype=np.uint16)
    bf16, fp16 = launch(
        device, "test_widening", np.zeros(65536, np.float32), np.zeros(65536, np.float32), blocks=65536 // 32
    )
    np.testing.assert_array_equal(bf16, bits.view(BF16).astype(np.float32))
    np.testing.assert_array_equal(fp16, bits.view(np.float16).astype(np.float32))


CHECKS = {name.removeprefix("check_"): f for name, f in list(globals().items()) if name.startswith("check_")}
del CHECKS["product"]
