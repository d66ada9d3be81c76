"""The emulator and the launcher: what they compute, and what they refuse."""

import numpy as np
import pytest

from minigpt.core.errors import UserError
from minigpt.kernels import emulator, launch
from minigpt.kernels.emulator import ORDERS, EmulatedModule, Emulation
from minigpt.kernels.source import KERNEL, read_source

REVERSE = """
extern "C" __global__ void reverse(const float* x, float* y, int n, float factor) {
  __shared__ float s[64];
  const int i = blockIdx.x * 64 + threadIdx.x;
  if (i < n) s[threadIdx.x] = x[i];
  __syncthreads();
  const int j = blockIdx.x * 64 + 63 - threadIdx.x;
  if (j < n) y[j] = factor * s[63 - threadIdx.x];
}
"""


@pytest.mark.parametrize("order", ORDERS)
def test_a_kernel_runs_in_every_order(order):
    x, y = np.arange(200, dtype=np.float32), np.full(200, np.nan, dtype=np.float32)
    kernel = EmulatedModule(REVERSE, emulation=Emulation(order)).get_function("reverse")
    kernel((4,), (64,), (x, y, np.int32(200), np.float32(2)))
    np.testing.assert_array_equal(y, 2 * x)


def test_arguments_are_checked():
    x, y = np.ones(64, np.float32), np.ones(64, np.float32)
    kernel = EmulatedModule(REVERSE).get_function("reverse")
    good = (x, y, np.int32(64), np.float32(1))
    assert kernel.signature == ["r*f4", "w*f4", "i4", "f4"]
    frozen = y.copy()
    frozen.flags.writeable = False
    for i, bad, message in [
        (0, x.astype(np.float64), "argument 0 must be an array of float32, got float64"),
        (1, frozen, "argument 1 is written to, but the array is read-only"),
        (2, 64, "argument 2 must be a numpy.int32, got int"),
        (3, np.float64(1), "argument 3 must be a numpy.float32, got float64"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            kernel((1,), (64,), (*good[:i], bad, *good[i + 1 :]))
    with pytest.raises(TypeError, match="takes 4 arguments, got 3"):
        kernel((1,), (64,), good[:3])
    with pytest.raises(ValueError, match="bytes of shared memory"):
        kernel((1,), (64,), good, shared_mem=49 * 1024)
    with pytest.raises(ValueError, match="no GPU takes a grid"):
        kernel((1,), (2000,), good)


def test_what_does_not_compile_says_why():
    with pytest.raises(RuntimeError, match=r"does not compile:\n(.|\n)*no_such_name"):
        EmulatedModule('extern "C" __global__ void f(int* p) { p[0] = no_such_name; }')


def test_no_compiler_is_one_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UserError, match=r"neither g\+\+ nor clang\+\+ is installed"):
        EmulatedModule(REVERSE + "// not compiled before\n")
    monkeypatch.setenv("CXX", "clang++-99")
    assert "CXX names, clang++-99, is not there" in emulator.compiler_problem()


def test_orders_and_sanitizers_have_names():
    with pytest.raises(UserError, match="unknown thread order 'sideways'"):
        Emulation("sideways")
    with pytest.raises(UserError, match="unknown sanitizer 'memory'"):
        Emulation(sanitizer="memory")
    with pytest.raises(UserError, match="must be loaded before Python"):
        EmulatedModule(REVERSE, emulation=Emulation(sanitizer="thread"))


def test_sources_are_inlined_once_and_keep_their_lines():
    source = read_source("flash.cu")
    assert "#include" not in source and source.count("struct Problem {") == 1
    assert "flash_forward" in KERNEL.findall(source)
    after = source.split('"flash.cu"\n')[-1].splitlines()
    number = int(source.split('"flash.cu"\n')[-2].rsplit(" ", 2)[1])
    original = (launch.__file__.rsplit("/", 1)[0]) + "/flash.cu"
    with open(original, encoding="utf-8") as file:
        assert file.read().splitlines()[number - 1 : number + 4] == after[:5]


def test_the_launcher_refuses_what_a_kernel_would_misread():
    x = np.zeros((2, 4, 3, 8), np.float32)
    good = dict(xp=np, dtype=np.float32, shape=(2, 4, 3, 8))
    launch.check_array("x", x, **good, align=4)
    for bad, message in [
        (x.astype(np.float64), "x is float64, but this kernel takes float32"),
        (x[:1], r"x has shape \(1, 4, 3, 8\), expected"),
        (np.zeros((2, 4, 8, 3), np.float32).swapaxes(2, 3), "the last axis of x must be contiguous"),
        (np.zeros((2, 4, 3, 9), np.float32)[..., :8], "x must be aligned to 16 bytes"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            launch.check_array("x", bad, **good, align=4)
    wide = np.zeros((2, 4, 9, 8), np.float32)
    launch.check_array("x", wide[:, :, 3:6], **good, align=4)  # a view of a fused projection
    with pytest.raises(ValueError, match="must be contiguous"):
        launch.check_array("x", wide[:, :, 3:6], **good, contiguous=True)
    with pytest.raises(UserError, match="NumPy arrays run on the CPU emulator, with emulate=True"):
        launch.module("flash.cu", {}, np, None)
    compiled = launch.module("", {}, np, Emulation(), code=REVERSE)
    with pytest.raises(TypeError, match="argument 2 is a Python int; pass a NumPy scalar"):
        compiled.launch("reverse", (1,), (64,), (x, x, 64, np.float32(1)))


@pytest.mark.slow("test_each_rung_in_every_thread_order: they take structs")
def test_structs_are_laid_out_as_in_c():
    code = """
    struct Pair { int a; long long b; float c; };
    extern "C" __global__ void read(Pair p, double* out) {
      out[0] = p.a; out[1] = p.b; out[2] = p.c; out[3] = sizeof(p);
    }
    """
    out = np.zeros(4)
    pair = launch.struct(a=np.int32(1), b=np.int64(-2), c=np.float32(0.5))
    compiled = launch.module("", {}, np, Emulation(), code=code)
    compiled.launch("read", (1,), (1,), (pair, out))
    assert out.tolist() == [1, -2, 0.5, 24]
    with pytest.raises(TypeError, match="must be a struct of 24 bytes"):
        compiled.launch("read", (1,), (1,), (launch.struct(a=np.int32(1)), out))
