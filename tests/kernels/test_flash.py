"""The flash kernels, emulated in several thread orders, against the reference in float64."""

import numpy as np
import pytest

from minigpt import ops
from minigpt.kernels.attention import Flash
from minigpt.kernels.emulator import ORDERS, Emulation

BOUND = 1e-5  # fp32, inputs of order one


def inputs(b, t, s, h, g, d, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"q": (b, t, h, d), "k": (b, s, g, d), "v": (b, s, g, d), "dy": (b, t, h, d)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_forward(order, dropout):
    x = inputs(2, 37, 21, 4, 2, 24)
    padding = np.random.default_rng(1).random((2, 21)) < 0.7
    mask = ops.Mask(causal=True, window=30, key_padding=padding)
    settings = {"mask": mask, "dropout": dropout, "key": ops.DropoutKey(1, 2, 3, 4)}
    y, _ = Flash(emulation=Emulation(order), tile=16).attention_forward(x["q"], x["k"], x["v"], **settings)
    expected, _ = ops.attention_forward(*(x[n].astype(np.float64) for n in "qkv"), **settings)
    assert np.abs(y - expected).max() <= BOUND
