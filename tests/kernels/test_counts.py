"""What a step of training costs a GPU, counted without one: launches, bytes, waits, by shapes alone."""

import sys

import ml_dtypes
import numpy as np
import pytest

from minigpt.core.backend import get_backend
from minigpt.core.params import Parameters
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.fused import operations_table
from minigpt.kernels.launch import Module
from minigpt.kernels.mma import Mma
from minigpt.lab.benchmark.events import drawn, measure
from minigpt.lab.benchmark.gpu_step import GPU_SHAPES, training_step
from minigpt.models import GPT
from tests import counted_cupy
from tests.counted_cupy import COUNTS

LAUNCH_CALLS = 115  # of Python functions for one launch, at most; attention's checks take most


def step_of(shape, dtype, monkeypatch):
    """Count a step; which attention it had."""
    cupy = counted_cupy.install(monkeypatch)
    size = GPT(shape.config).parameter_count
    monkeypatch.setattr(
        GPT, "init", lambda self, seed, backend: Parameters(self.specs, cupy.empty(size, np.dtype(np.float32)))
    )
    step, attention, _ = training_step(shape, get_backend("cupy"), dtype)
    COUNTS.clear()
    step()
    return attention


def test_a_step_of_gpt2_in_bfloat16(monkeypatch):
    """16 rows of 1,024 tokens. One wait is for the loss, one for the gradient's norm."""
    attention = step_of(GPU_SHAPES["G"], "bfloat16", monkeypatch)
    assert attention.startswith("cuda:mma")
    products = COUNTS.bytes["matmul"]
    assert sum(COUNTS.launches.values()) <= 457 and COUNTS.launches["matmul"] == 3 * 49
    assert sum(COUNTS.bytes.values()) - products <= 30.5e9 and products <= 20.5e9
    assert COUNTS.waits.total() == 2
    assert COUNTS.launches["astype"] <= 1  # nothing of a size that matters is turned to float32


def test_every_layer_costs_the_same(monkeypatch):
    """From two and from three layers follow the twelve of GPT-2: what is counted is a layer's, not an accident's."""
    found = []
    for layers in (2, 3):
        with monkeypatch.context() as patch:
            step_of(GPU_SHAPES["M"]._replace(layers=layers), "float16", patch)
        found.append((sum(COUNTS.launches.values()), COUNTS.launches["fill"]))
    (two, fills), (three, same) = found
    assert three - two == 37 - 1 and fills == same


@pytest.mark.parametrize("dtype", ["float32"])
def test_float32_takes_the_same_kernels(dtype, monkeypatch):
    step_of(GPU_SHAPES["M"]._replace(layers=1), dtype, monkeypatch)
    assert COUNTS.launches["column_sums"] == 4 and COUNTS.launches["multiply"] == 0 and COUNTS.waits.total() == 2


def test_what_is_timed_is_not_python(monkeypatch):
    """The GPU is kept busy before every timed call; what Python needs to ask is told apart."""
    cupy = counted_cupy.install(monkeypatch)
    backend = get_backend("cupy")
    x = drawn((8, 3), "bfloat16", backend, 0)
    COUNTS.clear()
    time = measure([lambda: x + x], 5, backend)
    assert COUNTS.launches["spin"] == 5 and COUNTS.launches["add"] == 5 + 3 and time.host > 0
    assert type(x) is cupy.ndarray and x.shape == (8, 3)


class Stub:
    """A kernel that does nothing."""

    max_dynamic_shared_size_bytes = 1 << 20

    def __call__(self, grid, block, args, *, shared_mem=0):
        pass


def test_a_launch_is_few_calls_of_python(monkeypatch):
    """Counted, as nothing can be timed here. On one core of a server these are 13 to 25 µs each, and were 66 to 90."""
    monkeypatch.setattr(Module, "_kernel", lambda self, name: Stub())
    table, attention = operations_table(emulation=Emulation()), Mma(emulation=Emulation())
    x, gain = np.zeros((2, 64, 256), ml_dtypes.bfloat16), np.ones(256, np.float32)
    q = x.reshape(2, 64, 4, 64)
    _, norm = table.layernorm_forward(x, gain, gain)
    _, cache = attention.attention_forward(q, q, q)
    total, _ = table.FUSED["sum"](x, gain, x, 0.0, None)
    calls = {
        "norm of a sum": (2, lambda: table.FUSED["layernorm_sum"](total, gain, gain, eps=1e-5)),  # else two launches
        "norm": (1, lambda: table.layernorm_forward(x, gain, gain)),
        "norm backward": (2, lambda: table.FUSED["norm_backward_add"](x, norm, gain, gain, x)),
        "bias and gelu": (1, lambda: table.FUSED["bias_gelu_tanh"][0](x, gain)),
        "attention": (1, lambda: attention.attention_forward(q, q, q)),
        "attention backward": (3, lambda: attention.attention_backward(q, cache)),
    }
    used = {}
    for name, (launches, call) in calls.items():
        call()  # reads the source
        events = []
        sys.setprofile(lambda frame, event, argument, events=events: events.append(event))
        try:
            call()
        finally:
            sys.setprofile(None)
        used[name] = sum(event in ("call", "c_call") for event in events) / launches
    assert max(used.values()) <= LAUNCH_CALLS, used
