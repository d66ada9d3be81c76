"""Whole models and whole runs on a GPU: gradients, loss curves and commands equal to those on a CPU."""

import dataclasses
import json

import numpy as np
import pytest

from minigpt import ops
from minigpt.blocks.mixed import Lowered, Mixed, low_dtype
from minigpt.cli import main
from minigpt.core.params import Parameters
from minigpt.kernels.fused import NATIVE, operations_table
from minigpt.lab.gradcheck.cases import MODEL_CASES
from minigpt.train.log import read_log
from minigpt.train.optimizer import AdamW, OptimizerConfig
from tests.train.runs import train

from .conftest import STAND_IN

STEPS = 3 if STAND_IN else 50


def moved(device, x):
    """A batch, or a tuple of them, on the device."""
    if isinstance(x, tuple):
        return type(x)(*(moved(device, part) for part in x)) if hasattr(x, "_fields") else tuple(x)
    return device.put(x)


def steps(case, params, batch, table, count, weights=lambda p: p):
    """A few steps of AdamW on one batch; the losses and the last gradient."""
    optimizer, run, losses = AdamW(params, OptimizerConfig()), dataclasses.replace(case.run, ops=table), []
    for _ in range(count):
        grads, used = params.zeros_like(), weights(params)
        loss, cache = case.model.forward(used, batch, run)
        case.model.backward(used, grads, cache, run)
        optimizer.step(params, grads, 1e-3)
        losses.append(float(loss))
    return losses, grads


def tables():
    return {"plain": ops, "kernels": operations_table(in_place_loss=True)}


@pytest.mark.parametrize("operations", ["plain", "kernels"])
@pytest.mark.parametrize("name", MODEL_CASES)
def test_every_model_trains_as_on_a_cpu(device, name, operations):
    case = MODEL_CASES[name]()
    losses, grads = steps(case, case.params.copy(), case.batch, ops, 3)
    params = Parameters(case.params.specs, device.put(case.params.flat.copy()))
    ours, our_grads = steps(case, params, moved(device, case.batch), tables()[operations], 3)
    np.testing.assert_allclose(ours, losses, rtol=1e-9)
    scale = np.abs(grads.flat).max()
    assert np.abs(device.get(our_grads.flat) - grads.flat).max() <= 1e-9 * scale


@pytest.mark.parametrize("operations", ["plain", "kernels"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_mixed_precision_follows_the_cpu(device, dtype, operations):
    case, low = MODEL_CASES["gpt2"](), low_dtype(dtype)
    table = Mixed(tables()[operations], NATIVE if operations == "kernels" else ())
    params = case.params.astype("float32")
    losses, _ = steps(case, params.copy(), case.batch, ops, 5)
    on_device = Parameters(params.specs, device.put(params.flat))
    ours, grads = steps(case, on_device, moved(device, case.batch), table, 5, lambda p: Lowered(p, low))
    np.testing.assert_allclose(ours, losses, atol=0.03)
    assert grads.flat.dtype == np.float32


SETTINGS = {
    "train__workers": 1,
    "model__width": 32,
    "model__context": 16,
    "model__dropout": 0.0,
    "train__eval_every": 0,
}


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({"train__attention": "reference"}, 1e-3),
        ({"train__attention": "cuda:flash", "train__operations": "kernels"}, 1e-3),
        ({"train__compute": "bfloat16", "train__operations": "kernels"}, 2e-2),
        ({"train__compute": "float16", "train__operations": "kernels", "train__attention": "cuda:mma"}, 1e-2),
    ],
    ids=["plain", "kernels", "bfloat16", "float16"],
)
def test_the_loss_curve_is_that_of_a_cpu(device, settings, tolerance, text_file, tmp_path, capsys):
    assert train(text_file, tmp_path / "cpu", STEPS, train__backend="numpy", **SETTINGS) == 0
    assert train(text_file, tmp_path / "gpu", STEPS, train__backend="cupy", **SETTINGS | settings) == 0
    cpu, gpu = ([x["loss"] for x in read_log(tmp_path / name) if "loss" in x] for name in ("cpu", "gpu"))
    np.testing.assert_allclose(gpu, cpu, atol=tolerance)
    assert len(gpu) == STEPS
    capsys.readouterr()
    for command in (["sample", "--tokens", "5"], ["eval"]):
        assert main([*command, str(tmp_path / "gpu"), "--backend", "cupy", "--json"]) == 0
        json.loads(capsys.readouterr().out)
    assert main(["train", "--resume", str(tmp_path / "gpu"), "--steps", str(STEPS + 1)]) == 0
