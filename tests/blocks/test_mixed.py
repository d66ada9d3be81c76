"""Mixed precision: 16-bit passes, float32 weights and gradients, and a loss scale for float16."""

import dataclasses
import json

import numpy as np
import pytest

from minigpt import ops
from minigpt.blocks.mixed import DTYPES, Lowered, Mixed, low_dtype
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.fused import NATIVE, operations_table
from minigpt.lab.gradcheck.cases import MODEL_CASES, operation_cases
from minigpt.train import passes
from minigpt.train.log import read_log
from minigpt.train.passes import LossScale

from ..train.runs import arguments, contents, train

ROUNDING = {"bfloat16": 2.0**-8, "float16": 2.0**-11}  # relative error of one rounding
TABLES = {
    "plain": Mixed(ops),
    "kernels": Mixed(operations_table(emulation=Emulation(), in_place_loss=True), NATIVE),
}


def arrays_in(x):
    if isinstance(x, np.ndarray):
        return [x]
    return [y for part in x for y in arrays_in(part)] if isinstance(x, (tuple, list)) else []


def relative(a, b):
    return np.linalg.norm(np.asarray(a, np.float64) - b) / max(np.linalg.norm(b), 1e-3)


EXACT = {case.name: case for case in operation_cases()}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_an_operation_on_16_bits_is_the_exact_one_rounded(name, dtype):
    """Matrices of 16 bits, vectors and gradients of parameters of float32, against float64 on the same numbers."""
    case, low = next(c for c in operation_cases(TABLES["plain"]) if c.name == name), low_dtype(dtype)
    inputs = {k: v.astype(low if v.ndim > 1 else np.float32) for k, v in case.inputs.items()}
    exact = {k: v.astype(np.float64) for k, v in inputs.items()}
    y, cache = case.forward(inputs)
    expected, exact_cache = EXACT[name].forward(exact)
    dy = np.asarray(np.random.default_rng(2).standard_normal(np.shape(y)), low if np.ndim(y) else float)
    grads = {k: np.zeros(v.shape, np.float32) for k, v in inputs.items()}
    exact_grads = {k: np.zeros(v.shape) for k, v in inputs.items()}
    case.backward(dy, cache, grads)
    EXACT[name].backward(dy.astype(np.float64) if np.ndim(y) else float(dy), exact_cache, exact_grads)
    assert np.ndim(y) == 0 or y.dtype == low
    assert relative(y, expected) <= 2 * ROUNDING[dtype]
    for k in grads:
        assert relative(grads[k], exact_grads[k]) <= 4 * ROUNDING[dtype], k


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MODEL_CASES)
def test_models_compute_in_16_bits_and_give_float32_gradients(name, dtype):
    case = MODEL_CASES[name]()
    for weight in case.params.values():
        if weight.ndim > 1:  # what rounding the weights themselves does to a gradient depends on the model, not on us
            weight[...] = weight.astype(low_dtype(dtype))
    loss, cache = case.model.forward(case.params, case.batch, case.run)
    exact = case.params.zeros_like()
    case.model.backward(case.params, exact, cache, case.run)
    master = case.params.astype("float32")
    weights, run = Lowered(master, low_dtype(dtype)), dataclasses.replace(case.run, ops=TABLES["plain"])
    low_loss, cache = case.model.forward(weights, case.batch, run)
    grads = master.zeros_like()
    case.model.backward(weights, grads, cache, run, 256.0)
    assert low_loss == pytest.approx(loss, abs=8 * ROUNDING[dtype])
    assert grads.flat.dtype == np.float32
    assert relative(grads.flat / 256, exact.flat) <= 16 * ROUNDING[dtype]


def test_matrices_are_copies_and_vectors_the_originals():
    case = MODEL_CASES["gpt2"]()
    master = case.params.astype("float32")
    weights = Lowered(master, low_dtype("bfloat16"))
    for spec in master.specs:
        if spec.decays:
            assert weights[spec.name].dtype == low_dtype("bfloat16")
            np.testing.assert_array_equal(weights[spec.name], master[spec.name].astype(low_dtype("bfloat16")))
        else:
            assert np.shares_memory(weights[spec.name], master[spec.name])
    assert np.shares_memory(weights.scope("blocks.0")["norm1.gain"], master["blocks.0.norm1.gain"])


def test_products_are_summed_in_float32():
    """A sum of 4096 ones: in 16 bits it would stop growing at 256 (bfloat16) or 2048 (float16)."""
    for dtype in DTYPES:
        x, w = np.ones((1, 4096), low_dtype(dtype)), np.ones((4096, 1), low_dtype(dtype))
        y, cache = TABLES["plain"].linear_forward(x, w)
        dweight = np.zeros((4096, 1), np.float32)
        TABLES["plain"].linear_backward(y, cache, dweight)
        assert y.item() == 4096 and (dweight == 4096).all()


@pytest.mark.slow("kernels/test_fused.py: a fused kernel in two number types")
def test_fused_kernels_take_16_bits_as_they_are():
    """A whole model, forward and backward, on emulated kernels in bfloat16."""
    case = MODEL_CASES["gpt2"]()
    results = []
    for table in TABLES.values():
        weights, run = Lowered(case.params.astype("float32"), low_dtype("bfloat16")), None
        run = dataclasses.replace(case.run, ops=table)
        loss, cache = case.model.forward(weights, case.batch, run)
        grads = case.params.astype("float32").zeros_like()
        case.model.backward(weights, grads, cache, run)
        results.append((loss, grads.flat))
    (loss, flat), (kernel_loss, kernel_flat) = results
    assert kernel_loss == pytest.approx(loss, abs=2e-2) and relative(kernel_flat, flat) <= 0.05
    assert TABLES["kernels"].layernorm_forward.__self__ is not None  # the kernel itself, not a wrapper that raises


def test_the_scale_halves_at_once_and_doubles_slowly(monkeypatch):
    monkeypatch.setattr(passes, "GROWTH_STEPS", 3)
    scale = LossScale.of("float16")
    assert scale.value == 65536 and scale.can_shrink
    scale.shrink()
    for _ in range(3):
        scale.count_good()
    assert (scale.value, scale.good_steps) == (65536, 0)
    scale.count_good()
    assert LossScale.of("float16", scale.state()) == scale
    scale.value = 1.0
    assert not scale.can_shrink  # now the gradient itself must be wrong
    for compute in ("same", "bfloat16"):
        assert LossScale.of(compute) == LossScale(1.0, 0, False) and LossScale.of(compute).state() is None


@pytest.mark.slow("test_models_compute_in_16_bits_and_give_float32_gradients")
@pytest.mark.parametrize("compute", DTYPES)
def test_training_follows_the_float32_curve_and_resumes_to_the_same_bits(compute, text_file, tmp_path, capsys):
    assert train(text_file, tmp_path / "full", 12) == 0
    assert train(text_file, tmp_path / "low", 12, train__compute=compute) == 0
    assert train(text_file, tmp_path / "again", 6, train__compute=compute, schedule__steps=12) == 0
    assert main(["train", "--resume", str(tmp_path / "again"), "--steps", "12"]) == 0
    losses = {name: [x["loss"] for x in read_log(tmp_path / name) if "loss" in x] for name in ("full", "low", "again")}
    np.testing.assert_allclose(losses["low"], losses["full"], atol=0.02)
    assert losses["low"] != losses["full"] and losses["again"] == losses["low"]
    ours, theirs = contents(tmp_path / "low", step=12), contents(tmp_path / "again", step=12)
    assert all(ours[name] == theirs[name] for name in ours if name.endswith(("model", "optimizer")))


def test_an_overflow_skips_the_step_and_lowers_the_scale(text_file, tmp_path, monkeypatch):
    """A scale that is far too large: steps are left out until it fits, and the checkpoint remembers it."""
    of = LossScale.of
    large = {"value": 2.0**24, "good_steps": 0}
    monkeypatch.setattr(LossScale, "of", lambda compute, state=None: of(compute, state or large))
    assert train(text_file, tmp_path / "run", 12, train__compute="float16") == 0
    lines = [x for x in read_log(tmp_path / "run") if "loss" in x]
    skipped = [x for x in lines if x.get("skipped")]
    assert len(lines) == 12 and 0 < len(skipped) < 12 and "grad_norm" not in skipped[0]
    assert [x["loss_scale"] for x in skipped] == [2.0 ** (23 - i) for i in range(len(skipped))]
    state = json.loads((tmp_path / "run/checkpoints/step-12/state.json").read_text())
    assert state["loss_scale"] == {"value": skipped[-1]["loss_scale"], "good_steps": 12 - skipped[-1]["step"]}
    assert state["updates"] == 12 - len(skipped)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["train.compute=float8"], "train.compute is 'float8'; choose one of same, bfloat16, float16"),
        (["train.compute=bfloat16", "train.dtype=float64"], "keeps its weights in float32; train.dtype is 'float64'"),
        (["train.operations=kernels"], "train.operations = 'kernels' needs a GPU (train.backend = 'cupy'), or"),
        (
            ["train.attention=cuda:flash", "train.emulate=true", "train.compute=bfloat16"],
            "train.attention = 'cuda:flash' cannot run: ",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused(settings, sentence, text_file, tmp_path, capsys):
    sets = [part for setting in settings for part in ("--set", setting)]
    assert main([*arguments(text_file, tmp_path / "run", 3), *sets]) == 2
    assert sentence in capsys.readouterr().err


def test_without_ml_dtypes(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(UserError, match="pip install ml_dtypes"):
        low_dtype("bfloat16")
    assert low_dtype("float16") == np.float16


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_of_a_matrix_is_not_rounded(dtype):
    """Its sum is in float32: exact to 1e-5, where 16 bits would leave an error of 1e-3 and more."""
    rng, low = np.random.default_rng(0), low_dtype(dtype)
    x, weight, dy = (rng.standard_normal(shape).astype(low) for shape in ((40, 6), (6, 5), (40, 5)))
    _, cache = TABLES["plain"].linear_forward(x, weight)
    dweight = np.zeros((6, 5), np.float32)
    TABLES["plain"].linear_backward(dy, cache, dweight)
    assert relative(dweight, x.astype(np.float64).T @ dy.astype(np.float64)) < 1e-5
