"""The tensor-core and fused kernels under the sanitizers: clean as they are, caught with a line taken out."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigpt import ops
from minigpt.kernels.emulator import ORDERS, Emulation, sanitizer_environment

from . import test_mma
from .fused_checks import NAMES
from .sanitized import CASES, FAULTS, faulty_forward

ROOT = Path(__file__).resolve().parents[2]


def under(sanitizer, what):
    command = [sys.executable, "-m", "tests.kernels.sanitized", sanitizer, what]
    environment = os.environ | sanitizer_environment(sanitizer)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.slow("test_ladder and test_mma: right values in every order of threads")
@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_kernels_are_clean(sanitizer):
    done = under(sanitizer, "clean")
    assert done.returncode == 0 and done.stdout.count("clean") == len(CASES) + len(NAMES), done.stderr[-3000:]
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr


@pytest.mark.slow("test_faults.py: a missing barrier gives wrong values in some order")
@pytest.mark.parametrize("fault", ["missing-barrier", "missing-sync-after-wait"])
def test_the_thread_sanitizer_sees_a_barrier_missing_between_asynchronous_copies(fault):
    done = under("thread", fault)
    assert done.returncode and "ThreadSanitizer: data race" in done.stderr, done.stderr[-3000:]


@pytest.mark.slow("test_faults.py: a missing barrier in a smaller kernel")
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_show_in_the_values_of_some_order(fault):
    (q, k, v, _), settings = test_mma.draw(CASES["float16"] | {"shape": "self", "mask": "none", "fused": False})
    expected, _ = ops.attention_forward(*(x.astype(np.float64) for x in (q, k, v)), **settings)
    errors = [np.abs(faulty_forward(fault, Emulation(order)) - expected).max() for order in ORDERS]
    assert not all(error <= 5e-3 for error in errors)  # NaN is an error too
