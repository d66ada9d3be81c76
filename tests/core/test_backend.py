"""Choosing a backend, without CuPy, with CuPy but no GPU, and with a stand-in for both."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from minigpt import ops
from minigpt.blocks.mixed import Lowered, Mixed, low_dtype
from minigpt.cli import main
from minigpt.core.backend import array_module, cupy_problem, get_backend
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.kernels.emulator import compiler_problem
from minigpt.kernels.fused import NATIVE, operations_table
from minigpt.lab.gradcheck.cases import MODEL_CASES, operation_cases
from minigpt.train.log import read_log

from .. import fake_cupy
from ..train.runs import train


def test_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert "CuPy is not installed" in cupy_problem()
    with pytest.raises(UserError, match="CuPy is not installed"):
        get_backend("cupy")
    assert get_backend().name == "numpy"


def test_cupy_without_a_gpu(monkeypatch, tmp_path):
    """CuPy is there, but whatever touches the device fails."""
    (tmp_path / "cupy.py").write_text(
        "__version__ = '14.0'\ndef is_available(): return False\n"
        "def __getattr__(name): raise RuntimeError('cudaErrorNoDevice')\n"
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import cupy\n"
        "from minigpt.cli import main\n"
        "assert main(['gradcheck', 'gpt2-no-bias', '--json']) == 0\n"
        "assert main(['info', '--json']) == 0\n"
        "sys.exit(main(['train', '--backend', 'cupy']))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2
    sentence = "CuPy 14.0 is installed, but it finds no usable CUDA GPU or driver"
    assert done.stderr.endswith(f"minigpt: error: the cupy backend cannot run: {sentence}\n")
    assert json.loads(done.stdout.splitlines()[-1])["gpu"] == f"not usable: {sentence}"


def test_a_broken_cupy_is_reported_as_such(monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text("import libcudart_that_is_missing\n")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert "installed but does not import (No module named 'libcudart_that_is_missing')" in cupy_problem()


@pytest.mark.parametrize(
    "raised, sentence",
    {
        "AttributeError(\"module 'numpy' has no attribute 'AxisError'\")": "for another version of which it was made",
        "ValueError('numpy.dtype size changed, may indicate binary incompatibility')": "upgrade CuPy: in the clone",
        "RuntimeError('CuPy failed to load libcuda.so.1\\nand more')": "import (CuPy failed to load libcuda.so.1); in",
    }.items(),
)
def test_whatever_importing_cupy_raises_is_a_sentence(monkeypatch, tmp_path, raised, sentence):
    (tmp_path / "cupy.py").write_text(f"raise {raised}\n")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert sentence in cupy_problem() and "pip install '.[cuda12]'" in cupy_problem()
    with pytest.raises(UserError, match="the cupy backend cannot run: CuPy is installed but does not import"):
        get_backend("cupy")


@pytest.mark.parametrize(
    "error, what, remedy",
    [
        ("cudaErrorInsufficientDriver: CUDA driver version is insufficient", "an elementwise operation", "update the"),
        ('catastrophic error: cannot open source file "vector_types.h"', "a kernel", "toolkit are missing"),
        ("CuPy failed to load libnvrtc.so.12: OSError", "an elementwise operation", "toolkit are missing"),
        ("CUDA_ERROR_UNSUPPORTED_PTX_VERSION: unsupported toolchain.", "a kernel", "install the older extra"),
        ("Out of memory allocating 512 bytes", "an elementwise operation", "another program holds"),
        ("something that nobody has seen yet", "a kernel", "reinstall it"),
    ],
)
def test_a_card_on_which_nothing_compiles_is_not_usable(monkeypatch, capsys, error, what, remedy):
    """CuPy says that it is available, and every compilation fails: `info` names the cause and the cure."""
    cupy = fake_cupy.install(monkeypatch, tried=True)

    def fail(*arguments, **keywords):
        raise RuntimeError(f"{error}\nand a page of more")

    failing = "asarray" if what == "an elementwise operation" else "RawModule"
    monkeypatch.setattr(cupy, failing, fail)
    problem = cupy_problem()
    assert f"finds a GPU, but {what} fails ({error[:40]}" in problem and remedy in problem and "page" not in problem
    with pytest.raises(UserError, match="finds a GPU, but"):
        get_backend("cupy")
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gpu"] == f"not usable: {problem}"


@pytest.mark.skipif(compiler_problem() is not None, reason="the emulator needs a C++ compiler")
def test_a_card_that_computes_is_usable_and_one_that_computes_wrongly_is_not(monkeypatch):
    cupy = fake_cupy.install(monkeypatch, tried=True)
    assert cupy_problem() is None
    monkeypatch.setattr(cupy.ndarray, "get", lambda self: np.zeros(4))
    assert "computes 2 (0, 1, 2, 3) + 1 as [0.0, 0.0, 0.0, 0.0]" in cupy_problem()


def test_the_environment_chooses(monkeypatch):
    fake_cupy.install(monkeypatch)
    monkeypatch.setenv("MINIGPT_BACKEND", "cupy")
    assert get_backend().name == "cupy" and get_backend("numpy").name == "numpy"


def test_array_module(monkeypatch):
    cupy = fake_cupy.install(monkeypatch)
    on_cpu, on_gpu = np.ones(2), cupy.ones(2)
    assert array_module(on_cpu, None) is np and array_module(None, on_gpu) is cupy
    with pytest.raises(TypeError, match="NumPy and CuPy arrays are mixed"):
        array_module(on_cpu, on_gpu)


def to_device(x):
    """Bring every array in a nest of tuples to the stand-in."""
    if isinstance(x, np.ndarray):
        return fake_cupy.module.asarray(x)
    if isinstance(x, dict):
        return {k: to_device(v) for k, v in x.items()}
    return x._make(map(to_device, x)) if hasattr(x, "row_count") else x


def on_device_only(x):
    if isinstance(x, np.ndarray):
        assert isinstance(x, fake_cupy.ndarray) or x.dtype.fields  # a struct that a kernel is called with
    elif isinstance(x, (tuple, list)):
        for y in x:
            on_device_only(y)


SKIP_CLOSURES = ("embedding", "cross-entropy", "squared-error", "padded")  # cases that hold NumPy ids, targets or masks
PLAIN = [c.name for c in operation_cases() if not any(word in c.name for word in SKIP_CLOSURES)]


@pytest.mark.parametrize("name", PLAIN)
def test_operations_stay_on_the_device(monkeypatch, name):
    fake_cupy.install(monkeypatch)
    case = next(c for c in operation_cases() if c.name == name)
    expected, cache = case.forward(case.inputs)
    grads = {k: np.zeros_like(v) for k, v in case.inputs.items()}
    case.backward(np.ones_like(expected), cache, grads)
    inputs = to_device(case.inputs)
    y, cache = case.forward(inputs)
    device_grads = {k: fake_cupy.module.zeros_like(v) for k, v in inputs.items()}
    case.backward(fake_cupy.module.ones_like(y), cache, device_grads)
    on_device_only((y, cache, tuple(device_grads.values())))
    np.testing.assert_array_equal(y.get(), expected)
    for k in grads:
        np.testing.assert_array_equal(device_grads[k].get(), grads[k])


def test_positions_of_every_token_stay_on_the_device(monkeypatch):
    """Rows that are padded on the left: positions are an array, which lives where the others do."""
    fake_cupy.install(monkeypatch)
    positions, rng = np.array([[0, 0, 1], [0, 1, 2]]), np.random.default_rng(0)
    x, heads, table = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 2, 4)), rng.standard_normal((5, 4))
    expected, gradient = ops.position_forward(x, table, positions=positions), np.zeros_like(table)
    ops.position_backward(x, expected[1], gradient)
    y, cache = ops.position_forward(to_device(x), to_device(table), positions=to_device(positions))
    device_gradient = to_device(np.zeros_like(table))
    on_device_only((y, cache, ops.position_backward(to_device(x), cache, device_gradient)))
    np.testing.assert_array_equal(y.get(), expected[0])
    np.testing.assert_array_equal(device_gradient.get(), gradient)
    turned, cache = ops.rope_forward(to_device(heads), ops.Rope(), positions=to_device(positions))
    on_device_only((turned, cache, ops.rope_backward(turned, cache)))
    np.testing.assert_array_equal(turned.get(), ops.rope_forward(heads, ops.Rope(), positions=positions)[0])


@pytest.mark.parametrize("name", MODEL_CASES)
def test_models_stay_on_the_device(monkeypatch, name):
    fake_cupy.install(monkeypatch)
    case = MODEL_CASES[name]()
    loss, cache = case.model.forward(case.params, case.batch, case.run)
    grads = case.params.zeros_like()
    case.model.backward(case.params, grads, cache, case.run)
    params = Parameters(case.params.specs, to_device(case.params.flat))
    device_loss, cache = case.model.forward(params, to_device(case.batch), case.run)
    on_device_only(cache)
    device_grads = params.zeros_like()
    case.model.backward(params, device_grads, cache, case.run)
    assert float(device_loss) == pytest.approx(loss, rel=1e-14)
    np.testing.assert_allclose(device_grads.flat.get(), grads.flat, rtol=1e-13, atol=1e-15)


@pytest.mark.slow("test_models_stay_on_the_device, and test_fused.py for each kernel")
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize("name", MODEL_CASES)
def test_models_stay_on_the_device_with_kernels(monkeypatch, name, dtype):
    """Fused kernels, alone and in mixed precision: whatever the device path does, it does to device arrays."""
    fake_cupy.install(monkeypatch)
    case = MODEL_CASES[name]()
    loss, cache = case.model.forward(case.params, case.batch, case.run)
    grads = case.params.zeros_like()
    case.model.backward(case.params, grads, cache, case.run)
    table, tolerance = operations_table(in_place_loss=True), 1e-12
    params = weights = Parameters(case.params.specs, to_device(case.params.flat))
    if dtype == "bfloat16":
        table, tolerance = Mixed(table, NATIVE), 0.15
        params = params.astype("float32")
        weights = Lowered(params, low_dtype(dtype))
    run = dataclasses.replace(case.run, ops=table)
    device_loss, cache = case.model.forward(weights, to_device(case.batch), run)
    on_device_only(cache)
    device_grads = params.zeros_like()
    case.model.backward(weights, device_grads, cache, run)
    assert float(device_loss) == pytest.approx(loss, rel=tolerance)
    difference = np.linalg.norm(device_grads.flat.get() - grads.flat)
    assert difference <= tolerance * np.linalg.norm(grads.flat)


@pytest.mark.slow("test_models_stay_on_the_device: with the plain optimizer, see test_fused.py")
def test_a_whole_run_on_the_device_equals_the_one_on_the_cpu(monkeypatch, text_file, tmp_path, capsys):
    for backend in ("cpu", "gpu"):
        if backend == "gpu":
            fake_cupy.install(monkeypatch)
        name = {"cpu": "numpy", "gpu": "cupy"}[backend]
        assert train(text_file, tmp_path / backend, 8, train__backend=name, train__workers=1) == 0
        assert main(["train", "--resume", str(tmp_path / backend), "--steps", "12"]) == 0
    ours, theirs = read_log(tmp_path / "gpu"), read_log(tmp_path / "cpu")
    assert [line["step"] for line in ours] == [line["step"] for line in theirs] and len(ours) > 12
    for a, b in zip(ours, theirs, strict=True):
        assert a == pytest.approx(b, rel=1e-3)
    capsys.readouterr()
    for command in (["sample"], ["eval"]):
        results = []
        for backend in ("numpy", "cupy"):
            assert main([*command, str(tmp_path / "gpu"), "--backend", backend, "--json"]) == 0
            results.append(json.loads(capsys.readouterr().out))
        assert results[0] == pytest.approx(results[1]) if command == ["eval"] else results[0] == results[1]
    assert isinstance(main(["info"]), int) and "no GPU at all" in capsys.readouterr().out


def test_the_stand_in_is_strict(monkeypatch):
    cupy = fake_cupy.install(monkeypatch)
    x = cupy.ones((2, 3))
    for mixed in (
        lambda: x + np.ones(3),
        lambda: cupy.matmul(x, np.ones(3)),
        lambda: cupy.concatenate([x, np.ones((1, 3))]),
        lambda: np.concatenate([x, x]),
        lambda: x.__setitem__(0, np.ones(3)),
    ):
        with pytest.raises(TypeError):
            mixed()
    assert type(x.sum(axis=0)) is fake_cupy.ndarray
