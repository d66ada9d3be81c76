"""The bodies of the tests of fused kernels, for the emulator and a GPU."""

import ml_dtypes
import numpy as np

from minigpt import ops
from minigpt.core.params import ParameterSpec
from minigpt.ops.operations import Sum

from .device import EMULATOR

DTYPES = [np.float64, np.float32, ml_dtypes.bfloat16, np.float16]
STEP = {np.float64: 1e-13, np.float32: 3e-6, ml_dtypes.bfloat16: 2**-7, np.float16: 2**-10}  # about one rounding
NAMES = [
    *("layernorm", "layernorm-plus", "layernorm-sum", "rmsnorm", "rmsnorm-plus", "rmsnorm-sum", "gelu_tanh"),
    *("gelu_erf", "bias_gelu_tanh", "bias_gelu_erf", "linear", "dropout", "settled_sum", "cross_entropy"),
    *("embedding", "position"),
]
WIDTHS = [301, 304]  # rows that are read number by number, and 16 bytes at a time
KEY = ops.DropoutKey(seed=1, step=2, site=3, row=4, position=2)
SPECS = (ParameterSpec("matrix", (30, 20)), ParameterSpec("bias", (17,)))


def run(operations, name, dtype, device=EMULATOR, width=WIDTHS[0]):
    """One operation at a size of several blocks and odd ends; the results, float64."""
    rng = np.random.default_rng(0)
    n, c = 70, width
    real = np.float64 if dtype is np.float64 else np.float32

    def normal(*shape):
        return device.put((2 * rng.standard_normal(shape)).astype(dtype))

    def vector():
        return device.put(rng.standard_normal(c).astype(real))

    dgain, dbias = device.put(np.ones(c, real)), device.put(np.ones(c, real))
    plain, _, more = name.partition("-")
    forward = getattr(operations, f"{plain}_forward", None)
    backward = getattr(operations, f"{plain}_backward", None)
    if plain in ("layernorm", "rmsnorm"):
        weights = (vector(), vector()) if plain == "layernorm" else (vector(),)
        gradients = (dgain, dbias) if plain == "layernorm" else (dgain,)
        if more == "sum":
            s, dropped = operations.FUSED["sum"](normal(7, 10, c), vector(), normal(7, 10, c), 0.3, KEY)
            total, y, cache = operations.FUSED[f"{plain}_sum"](s, *weights, eps=1e-5)
            dx = backward(normal(7, 10, c), cache, *gradients)
            results = [total, operations.dropout_backward(dx, dropped)]
        else:
            y, cache = forward(normal(n, c), *weights)
            dy, results = normal(n, c), []
        if more == "plus":
            bias = dbias if plain == "layernorm" else None
            dx = operations.FUSED["norm_backward_add"](dy, cache, dgain, bias, normal(n, c))
        elif not more:
            dx = backward(dy, cache, *gradients)
        results += [y, dx, *gradients]
    elif name == "linear":
        dweight = device.put(np.ones((9, c), real))
        y, cache = forward(normal(7, 10, 9), normal(9, c), vector())
        results = [y, backward(normal(7, 10, c), cache, dweight, dbias), dweight, dbias]
    elif name == "dropout":
        y, cache = forward(normal(7, 10, c), 0.3, KEY)
        results = [y, backward(normal(7, 10, c), cache)]
    elif name == "settled_sum":
        s, cache = operations.FUSED["sum"](normal(7, 10, c), vector(), normal(7, 10, c), 0.3, KEY)
        total = operations.FUSED[name](s) if isinstance(s, Sum) else s  # compiled loops work it out at once
        results = [total, operations.dropout_backward(normal(7, 10, c), cache)]
    elif name.startswith("bias_gelu"):
        forward, backward = operations.FUSED[name]
        x = normal(7, 10, c)
        y, cache = forward(x, vector())
        results = [y, backward(normal(7, 10, c), cache, dbias), dbias]
    elif name == "cross_entropy":
        targets = np.where(rng.random(n) < 0.2, ops.IGNORE, rng.integers(0, c, n))
        loss, cache = forward(normal(n, c), device.put(targets), label_smoothing=0.1)
        results = [loss, backward(float(n), cache)]
    elif name == "embedding":  # ids that occur once, in one chunk of the sorted ids, and in three
        ids, dtable = np.minimum(rng.integers(0, 40, (7, 20)), 20), device.put(np.ones((600, c), real))
        y, cache = forward(device.put(ids), normal(600, c), scale=2.0)
        backward(normal(7, 20, c), cache, dtable)
        results = [y, dtable]
    elif name == "position":
        dtable = device.put(np.ones((16, c), real))
        y, cache = forward(normal(7, 10, c), normal(16, c), positions=3)
        results = [y, backward(normal(7, 10, c), cache, dtable), dtable]
    else:
        y, cache = forward(normal(n, c))
        results = [y, backward(normal(n, c), cache)]
    return [np.asarray(device.get(x), dtype=np.float64) for x in results]


class Exact:
    """The plain operations in float64 on inputs that were rounded to a dtype."""

    @property
    def FUSED(self):
        """What is fused, as plain operations in a row."""

        def bias_gelu(name):
            def forward(x, bias):
                return getattr(self, f"{name}_forward")(np.asarray(x, np.float64) + bias)

            def backward(dy, cache, dbias):
                dx = getattr(self, f"{name}_backward")(dy, cache)
                dbias += dx.reshape(-1, len(dbias)).sum(axis=0)
                return dx

            return forward, backward

        def residual_sum(x, bias, onto, rate, key):
            y, cache = self.dropout_forward(np.asarray(x, np.float64) + bias, rate, key)
            return onto + y, cache

        def norm_sum(name):
            def forward(total, *weights, eps):
                return total, *getattr(self, f"{name}_forward")(total, *weights, eps=eps)

            return forward

        def norm_backward_add(dy, cache, dgain, dbias, plus):
            norm = "rmsnorm" if dbias is None else "layernorm"
            gradients = (dgain,) if dbias is None else (dgain, dbias)
            return plus + getattr(self, f"{norm}_backward")(dy, cache, *gradients)

        gelu = {f"bias_{name}": bias_gelu(name) for name in ("gelu_tanh", "gelu_erf")}
        norms = {f"{name}_sum": norm_sum(name) for name in ("layernorm", "rmsnorm")}
        sums = {"sum": residual_sum, "settled_sum": lambda total: total, "norm_backward_add": norm_backward_add}
        return gelu | norms | sums

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


def check(operations, name, dtype, device=EMULATOR, width=WIDTHS[0]):
    """Compare with the exact operation; the results."""
    results, expected = run(operations, name, dtype, device, width), run(Exact(), name, dtype, width=width)
    for ours, exact in zip(results, expected, strict=True):
        assert np.abs(ours - exact).max() <= STEP[dtype] * max(1, np.abs(exact).max())
    return results
