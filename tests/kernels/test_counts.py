"""What a step of training costs a GPU, counted without one: launches, bytes, waits, by shapes alone."""

import numpy as np
import pytest

from minigpt.core.backend import get_backend
from minigpt.core.params import Parameters
from minigpt.lab.benchmark.gpu_step import GPU_SHAPES, training_step
from minigpt.models import GPT
from tests import counted_cupy
from tests.counted_cupy import COUNTS


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
    assert sum(COUNTS.launches.values()) <= 480 and COUNTS.launches["matmul"] == 3 * 49
    assert sum(COUNTS.bytes.values()) - products <= 32.5e9 and products <= 20.5e9
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
    assert three - two == 39 - 1 and fills == same


@pytest.mark.parametrize("dtype", ["float32"])
def test_float32_takes_the_same_kernels(dtype, monkeypatch):
    step_of(GPU_SHAPES["M"]._replace(layers=1), dtype, monkeypatch)
    assert COUNTS.launches["column_sums"] == 4 and COUNTS.launches["multiply"] == 0 and COUNTS.waits.total() == 2
