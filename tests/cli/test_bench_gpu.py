"""The benchmarks for a GPU, on the stand-in: what they compute and print; and on a CPU, what they refuse."""

import json
from functools import partial

import pytest

from minigpt.cli import main
from minigpt.lab.benchmark import attention, events, gpu_step
from minigpt.lab.benchmark.attention import Shape
from minigpt.lab.benchmark.events import Ceiling
from minigpt.lab.benchmark.shapes import Shape as StepShape
from minigpt.models import GPT
from tests import fake_cupy


@pytest.fixture
def small_card(monkeypatch):
    """A card that is measured in no time."""
    fake_cupy.install(monkeypatch)
    monkeypatch.setattr(events, "measured_ceiling", partial(events.measured_ceiling, size=64, megabytes=1))
    monkeypatch.setattr(events, "STATED", {"no GPU at all": (2e12, 1e12, 1e12)})


@pytest.mark.slow("test_attention_on_a_cpu and test_kernels: contestants and kernels")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_attention_on_a_gpu(dtype, small_card, capsys):
    arguments = ["bench", "attention", "--backend", "cupy", "--shape", "1x2x32x16", "--repeats", "2", "--dtype", dtype]
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    rows = result["shapes"]["1x2x32x16"]
    assert list(rows) == ["reference", "cuda:naive", "cuda:tiled", "cuda:flash", "cuda:mma"]
    assert result["device"] == "no GPU at all" and set(result["ceilings"]) == {"measured", "stated"}
    if dtype == "bfloat16":
        assert "computes in float32" in rows["cuda:flash"]["problem"]
    for row in rows.values():
        if "problem" not in row:
            assert (
                row["error"] <= 1
                and row["forward"]["ms"] > 0
                and set(row["backward"]["of_floor"])
                == {
                    "measured",
                    "stated",
                }
            )
    assert main([*arguments, "--only", "cuda:mma"]) == 0
    out = capsys.readouterr().out
    assert "cuda:mma" in out and "% of stated" in out and "reference" not in out


def test_attention_on_a_cpu_against_pytorch_is_refused_without_it(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert main(["bench", "attention", "--shape", "1x1x8x16", "--against", "torch"]) == 2
    assert "pip install '.[parity]'" in capsys.readouterr().err


def test_attention_on_a_cpu(capsys):
    assert main(["bench", "attention", "--shape", "1x1x200x16", "--repeats", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["shapes"]["1x1x200x16"]
    assert rows["tiled"]["forward"]["ms"] > 0 and "at most 128 tokens" in rows["cuda:mma (emulated)"]["problem"]


def test_a_wrong_contestant_is_not_timed(monkeypatch, capsys):
    forward = attention.fast.attention_forward
    monkeypatch.setattr(
        attention.fast, "attention_forward", lambda *a, **k: (1.01 * forward(*a, **k)[0], forward(*a, **k)[1])
    )
    assert main(["bench", "attention", "--shape", "1x1x8x16", "--only", "tiled"]) == 2
    assert "nothing was timed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["attention", "--backend", "cupy"], "the cupy backend cannot run: "),
        (["step", "--backend", "cupy", "--dtype", "bfloat16"], "the cupy backend cannot run: "),
        (["attention", "--shape", "8x12"], "is not of the form BxHxTxD"),
        (["step", "--dtype", "bfloat16"], "on a CPU a step is timed in float32"),
    ],
)
def test_mistakes(arguments, sentence, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    try:
        status = main(["bench", *arguments])
    except SystemExit as stop:
        status = stop.code
    assert status == 2 and sentence in capsys.readouterr().err


@pytest.mark.slow("test_work_and_floors, and the steps of tests/kernels/test_training.py")
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_step_on_a_gpu(dtype, small_card, monkeypatch, capsys):
    shape = StepShape(1, 2, 32, 8, 2, 11, "tiny")
    monkeypatch.setitem(gpu_step.GPU_SHAPES, "G", shape)
    arguments = ["bench", "step", "--backend", "cupy", "--repeats", "2", "--dtype", dtype]
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["shapes"]["G"]
    assert result["tokens_per_second"] == pytest.approx(16e3 / result["ms"])
    assert result["attention"].startswith("cuda:mma" if dtype == "float16" else "cuda:flash")
    assert main(arguments) == 0
    assert "tokens/s" in capsys.readouterr().out


def test_work_and_floors():
    shape = Shape.parse("8x12x1024x64")
    assert shape.flops(causal=True, backward=False) == pytest.approx(12.9e9, rel=0.01)  # 2 · 2 · B H T² D / 2
    assert shape.flops(causal=True, backward=True) == pytest.approx(32.2e9, rel=0.01)
    assert shape.moved(2, backward=False) == 8 * 12 * 1024 * (4 * 64 * 2 + 4)
    assert Ceiling(1e12, 1e9).floor_ms(1e9, 5e6) == 5.0
    gpt2 = gpu_step.GPU_SHAPES["G"]
    per_token = gpu_step.flops_per_token(gpt2, GPT(gpt2.config).parameter_count)
    assert per_token == pytest.approx(6 * 123.65e6 + 6 * 12 * 1024 * 768, rel=1e-3)
