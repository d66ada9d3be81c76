"""The GPU that these tests run on: `pytest -m gpu`.

With MINIGPT_STAND_IN=1 they run on the stand-in for CuPy of tests/fake_cupy.py, whose kernels are emulated: that is how
they are kept in working order where there is no GPU. Without either they fail, with the reason.
"""

import os
import sys

import pytest

from minigpt.core.backend import cupy_problem
from tests import fake_cupy
from tests.kernels.device import Device

STAND_IN = os.environ.get("MINIGPT_STAND_IN") == "1"
REPEATS = 3 if STAND_IN else 100  # of what must give the same bits every time


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/gpu" in str(item.path).replace(os.sep, "/"):
            item.add_marker(pytest.mark.gpu)


@pytest.fixture
def device(monkeypatch):
    if STAND_IN:
        return Device(fake_cupy.install(monkeypatch), None)
    problem = cupy_problem()
    if problem:
        pytest.fail(problem)
    import cupy

    assert "stand-in" not in cupy.__version__ and sys.modules["cupy"] is cupy
    return Device(cupy, None)
