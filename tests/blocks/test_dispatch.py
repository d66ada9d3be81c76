"""Which operations a run uses: what cannot run is refused before anything begins."""

from types import SimpleNamespace

import pytest

from minigpt.blocks import dispatch
from minigpt.core.errors import UserError


def test_kernels_run_on_a_gpu_or_on_the_emulator():
    gpu, cpu = SimpleNamespace(name="cupy"), SimpleNamespace(name="numpy")
    dispatch._check_emulate("kernels", gpu, False)
    with pytest.raises(UserError, match=r"on the CPU, on NumPy arrays; the backend is cupy"):
        dispatch._check_emulate("kernels", gpu, True)
    with pytest.raises(UserError, match="kernels needs a GPU"):
        dispatch._check_emulate("kernels", cpu, False)
