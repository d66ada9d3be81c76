"""The bodies of the tests of fused kernels, for the emulator and a GPU."""

import ml_dtypes
import numpy as np

from minigpt import ops
from minigpt.core.params import ParameterSpec

from .device import EMULATOR

DTYPES = [np.float64, np.float32, ml_dtypes.bfloat16, np.float16]
STEP = {np.float64: 1e-13, np.float32: 3e-6, ml_dtypes.bfloat16: 2**-7, np.float16: 2**-10}  # about one rounding
NAMES = ["layernorm", "rmsnorm", "gelu_tanh", "gelu_erf", "cross_entropy", "embedding"]
SPECS = (ParameterSpec("matrix", (30, 20)), ParameterSpec("bias", (17,)))


def run(operations, name, dtype, device=EMULATOR):
    """One operation at a size of several blocks and odd ends; the results, float64."""
    rng = np.random.default_rng(0)
    n, c = 70, 301
    real = np.float64 if dtype is np.float64 else np.float32

    def normal(*shape):
        return device.put((2 * rng.standard_normal(shape)).astype(dtype))

    def vector():
        return device.put(rng.standard_normal(c).astype(real))

    dgain, dbias = device.put(np.ones(c, real)), device.put(np.ones(c, real))
    forward = getattr(operations, f"{name}_forward")
    backward = getattr(operations, f"{name}_backward")
    if name == "layernorm":
        y, cache = forward(normal(n, c), vector(), vector())
        results = [y, backward(normal(n, c), cache, dgain, dbias), dgain, dbias]
    elif name == "rmsnorm":
        y, cache = forward(normal(n, c), vector())
        results = [y, backward(normal(n, c), cache, dgain), dgain]
    elif name == "cross_entropy":
        targets = np.where(rng.random(n) < 0.2, ops.IGNORE, rng.integers(0, c, n))
        loss, cache = forward(normal(n, c), device.put(targets), label_smoothing=0.1)
        results = [loss, backward(float(n), cache)]
    elif name == "embedding":
        ids, dtable = rng.integers(0, 20, (7, 10)), device.put(np.ones((600, c), real))
        y, cache = forward(device.put(ids), normal(600, c), scale=2.0)
        backward(normal(7, 10, c), cache, dtable)
        results = [y, dtable]
    else:
        y, cache = forward(normal(n, c))
        results = [y, backward(normal(n, c), cache)]
    return [np.asarray(device.get(x), dtype=np.float64) for x in results]


class Exact:
    """The plain operations in float64 on inputs that were rounded to a dtype."""

    def __getattr__(self, name):
        def call(*arguments, **keywords):
            raised = [
                np.asarray(x, np.float64) if isinstance(x, np.ndarray) and x.dtype.kind != "i" else x for x in arguments
            ]
            result = getattr(ops, name)(*raised, **keywords)
            for given, used in zip(arguments, raised, strict=True):  # gradients are added to in place
                if isinstance(given, np.ndarray) and given is not used and name.endswith("backward"):
                    given[...] = used
            return result

        return call


def check(operations, name, dtype, device=EMULATOR):
    """Compare with the exact operation; the results."""
    results, expected = run(operations, name, dtype, device), run(Exact(), name, dtype)
    for ours, exact in zip(results, expected, strict=True):
        assert np.abs(ours - exact).max() <= STEP[dtype] * max(1, np.abs(exact).max())
    return results
