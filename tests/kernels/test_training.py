"""A whole model through emulated kernels, from the command line, has NumPy's loss curve; what cannot run says so."""

import re

import pytest

from minigpt import fast, ops
from minigpt.blocks import dispatch
from minigpt.blocks.dispatch import choose
from minigpt.cli import main
from minigpt.core.backend import get_backend
from minigpt.core.errors import UserError
from minigpt.kernels import emulator
from minigpt.kernels.attention import Flash
from minigpt.kernels.ladder import RUNGS
from minigpt.train.log import read_log

from .. import fake_cupy
from ..tiers import some
from ..train.runs import arguments, train
from .attention_cases import BOUND, draw, errors

TWO_LAYERS = {"model__layers": 2, "train__workers": 1, "train__accumulation": 1, "train__eval_every": 0}


def losses(folder):
    return [line["loss"] for line in read_log(folder) if "loss" in line]


@pytest.mark.slow("test_other_attentions_train_alike: three steps")
def test_fifty_steps_through_emulated_flash_attention_are_those_of_numpy(text_file, tmp_path, capsys):
    emulated = {"train__attention": "cuda:flash", "train__emulate": "true"}
    assert train(text_file, tmp_path / "numpy", 50, **TWO_LAYERS) == 0
    said = capsys.readouterr().err
    assert re.search(r"operations: (fast|compiled)\nattention: tiled \(of the \1 operations\)\n", said)
    assert train(text_file, tmp_path / "emulated", 50, **TWO_LAYERS, **emulated) == 0
    assert "attention: cuda:flash (as asked for, on the CPU emulator)\n" in capsys.readouterr().err
    ours, theirs = losses(tmp_path / "emulated"), losses(tmp_path / "numpy")
    assert len(ours) == len(theirs) == 50 and theirs[-1] < theirs[0] - 0.3
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= 1e-4
    assert ours != theirs  # other sums, other rounding: it was not NumPy again


@pytest.mark.parametrize("attention", some(["reference", "cuda:naive", "cuda:tiled"], ["cuda:tiled"], "one of them"))
def test_other_attentions_train_alike(attention, text_file, tmp_path):
    emulate = "true" if attention.startswith("cuda") else "false"
    assert train(text_file, tmp_path / "a", 3, train__attention=attention, train__emulate=emulate) == 0
    assert train(text_file, tmp_path / "b", 3) == 0
    assert losses(tmp_path / "a") == pytest.approx(losses(tmp_path / "b"), abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train__attention": "cuda:flash"}, "needs a GPU (train.backend = 'cupy'), or train.emulate = true"),
        ({"train__emulate": "true"}, "train.emulate runs CUDA kernels on the CPU; choose one"),
        ({"train__attention": "cuda:flush"}, "train.attention is 'cuda:flush'; choose one of auto, reference, tiled"),
        (
            {"train__attention": "cuda:naive", "train__emulate": "true", "train__dtype": "float64"},
            "it computes in float32, not in float64",
        ),
        (
            {"train__attention": "cuda:flash", "train__emulate": "true", "model__width": "20"},
            "it takes heads of 8 to 128 numbers, in multiples of 8, not of 10",
        ),
    ],
)
def test_what_cannot_run_is_one_sentence_and_leaves_no_run(settings, message, text_file, tmp_path, capsys):
    assert main(arguments(text_file, tmp_path / "run", 3, **settings)) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("minigpt: error: ") and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_no_compiler_is_said_when_the_run_starts(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match=r"cannot run: the emulator compiles kernels with .* not there"):
        choose("auto", get_backend(), attention="cuda:flash", emulate=True, dtype="float32", head_width=16)
    assert emulator.compiler_problem()


def test_auto_says_what_it_chose(monkeypatch):
    numpy = get_backend()
    monkeypatch.setattr(dispatch, "numba_problem", lambda: "Numba is not installed")
    chosen = choose("auto", numpy, dtype="float32", head_width=16)
    assert chosen.operations is fast and chosen.attention == "tiled (of the fast operations)"
    chosen = choose("plain", numpy, dtype="float32", head_width=16)
    assert chosen.operations is ops and chosen.attention == "reference (of the plain operations)"
    chosen = choose("plain", numpy, attention="tiled", dtype="float32", head_width=16)
    assert chosen.operations.attention_forward is fast.attention_forward
    assert chosen.operations.linear_forward is ops.linear_forward
    fake_cupy.install(monkeypatch)
    cupy = get_backend("cupy")
    chosen = choose("auto", cupy, dtype="float32", head_width=16)
    assert chosen.attention.startswith("cuda:flash (") and isinstance(
        chosen.operations.attention_forward.__self__, Flash
    )
    chosen = choose("auto", cupy, dtype="float64", head_width=16)
    assert chosen.name == "kernels" and chosen.attention == "reference (no kernel takes float64 and heads of 16)"
    assert choose("plain", cupy, dtype="float64", head_width=16).operations is ops
    for wrong in ({"attention": "tiled"}, {"attention": "cuda:flash", "emulate": True}):
        with pytest.raises(UserError):
            choose("auto", cupy, **wrong, dtype="float32", head_width=16)


@pytest.mark.parametrize("rung", ["naive", "tiled", "flash"])
def test_the_launchers_are_the_same_for_cupy(rung, monkeypatch):
    """On the stand-in for CuPy: nothing leaves the device, and the result is that of the emulator on NumPy."""
    cupy = fake_cupy.install(monkeypatch)
    arrays, settings = draw({"shape": "grouped", "d": 16, "mask": "causal-padded", "dropout": 0.3, "fused": False})
    q, k, v, dy = (cupy.asarray(x) for x in arrays)
    mask = settings["mask"]._replace(key_padding=cupy.asarray(settings["mask"].key_padding))
    attention = RUNGS[rung]()
    y, cache = attention.attention_forward(q, k, v, **settings | {"mask": mask})
    result = (y, *attention.attention_backward(dy, cache))
    assert all(isinstance(x, fake_cupy.ndarray) for x in result)
    assert max(errors([x.get() for x in result], arrays, settings).values()) <= BOUND
    with pytest.raises(UserError, match="leave emulate off on a GPU"):
        RUNGS[rung](emulation=emulator.Emulation()).attention_forward(q, k, v)
