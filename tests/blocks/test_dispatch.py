"""Which operations a run uses: what cannot run is refused before anything begins."""

from types import SimpleNamespace

import pytest

from minigpt.blocks import dispatch
from minigpt.core.errors import UserError


def test_auto_is_compiled_where_numba_is_there(monkeypatch):
    cpu, gpu = SimpleNamespace(name="numpy"), SimpleNamespace(name="cupy")
    for problem, name in ((None, "compiled"), ("Numba is not installed", "fast")):
        monkeypatch.setattr(dispatch, "numba_problem", lambda problem=problem: problem)
        assert dispatch.settled("auto", cpu) == name and dispatch.settled("auto", gpu) == "kernels"
        assert dispatch.settled("fast", cpu) == "fast" and dispatch.settled("plain", gpu) == "plain"
    with pytest.raises(UserError, match=r"train.operations = 'compiled' cannot run: Numba is not installed"):
        dispatch.operations("compiled", cpu)
    with pytest.raises(UserError, match=r"'compiled' runs on NumPy only, not on cupy"):
        dispatch.operations("compiled", gpu)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("no"), "Numba is not installed; in the clone, pip install '.[numba]' brings it"),
        (ImportError("Numba needs NumPy 2.4 or less"), "Numba does not work here (Numba needs NumPy 2.4 or less)"),
    ],
)
def test_what_keeps_numba_from_compiling_is_said(error, said, monkeypatch):
    def fail(name, *arguments):
        raise error if name == "numba" else AssertionError(name)

    monkeypatch.setattr("builtins.__import__", fail)
    problem = dispatch.numba_problem.__wrapped__()
    monkeypatch.undo()
    assert problem == said


def test_kernels_run_on_a_gpu_or_on_the_emulator():
    gpu, cpu = SimpleNamespace(name="cupy"), SimpleNamespace(name="numpy")
    dispatch._check_emulate("kernels", gpu, False)
    with pytest.raises(UserError, match=r"on the CPU, on NumPy arrays; the backend is cupy"):
        dispatch._check_emulate("kernels", gpu, True)
    with pytest.raises(UserError, match="kernels needs a GPU"):
        dispatch._check_emulate("kernels", cpu, False)
