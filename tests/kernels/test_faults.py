"""The checks are checked: every planted fault is caught by what is there to catch it, and sound kernels pass."""

import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from minigpt.kernels.emulator import ORDERS, EmulatedModule, Emulation, sanitizer_environment

from .attention_cases import BOUND
from .faults import BARRIER, CLEAN, PRODUCT, SMALL, edited_flash, small

ROOT = Path(__file__).resolve().parents[2]


def test_a_missing_barrier_gives_wrong_values_in_some_order():
    assert any(not edited_flash(BARRIER, "", Emulation(order)) <= BOUND for order in ORDERS)


@pytest.mark.slow("test_ladder: the whole kernel in every order")
def test_the_barrier_in_its_place_gives_right_values_in_every_order():
    assert all(edited_flash(BARRIER, BARRIER, Emulation(order)) <= BOUND for order in ORDERS)


@pytest.mark.slow("test_threads_that_leave_before_a_barrier")
def test_a_barrier_that_not_all_reach_together():
    with pytest.raises(RuntimeError, match="divergent_barrier: divergent __syncthreads: lines"):
        small("divergent_barrier")


def test_threads_that_leave_before_a_barrier():
    with pytest.raises(
        RuntimeError, match=r"early_exit: deadlock: 28 thread\(s\) finished, the others wait at line \d+"
    ):
        small("early_exit")


def test_a_shuffle_without_half_of_its_lanes():
    with pytest.raises(RuntimeError, match=r"half_warp_shuffle: .*wait at line \d+"):
        small("half_warp_shuffle")


@pytest.mark.slow("test_threads_that_leave_before_a_barrier: the line is in the message")
def test_errors_name_the_line():
    with pytest.raises(RuntimeError) as caught:
        EmulatedModule('#line 1 "k.cu"\n' + SMALL).get_function("early_exit")(
            (1,), (128,), (np.zeros(128, np.float32),)
        )
    lines = SMALL.splitlines()
    assert "__syncthreads" in lines[int(str(caught.value).split("line ")[1].split()[0]) - 1]


def test_shared_memory_that_nobody_set_is_nan():
    y = small("unset_shared")
    assert np.isnan(y[0]) and (y[1:128] == 1).all()


def test_a_copy_that_was_not_waited_for_is_nan():
    assert np.isnan(small("no_wait")[:128]).all()


@pytest.mark.slow("test_ptx: products with the registers in order")
@pytest.mark.parametrize("swapped", [False, True])
def test_swapped_registers_give_a_wrong_product(swapped):
    source = PRODUCT.replace("mma_bf16_16816(c, x, y)", "u32 z[4] = {x[0], x[2], x[1], x[3]}; mma_bf16_16816(c, z, y)")
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(ml_dtypes.bfloat16) for shape in ((16, 16), (16, 8)))
    d = np.full((16, 8), np.nan, np.float32)
    kernel = EmulatedModule(source if swapped else PRODUCT).get_function("product")
    kernel((1,), (32,), (a.view(np.uint16), b.view(np.uint16), d))
    right = np.allclose(d, a.astype(np.float64) @ b.astype(np.float64), atol=1e-5)
    assert right is not swapped


def under(sanitizer, what):
    """Run a fault, or the sound kernels, in a process with the sanitizer's runtime."""
    command = [sys.executable, "-m", "tests.kernels.faults", sanitizer, what]
    environment = os.environ | sanitizer_environment(sanitizer)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.slow("test_a_missing_barrier_gives_wrong_values_in_some_order")
@pytest.mark.parametrize(
    ("fault", "sanitizer", "report"),
    [
        ("dynamic-out-of-bounds", "address", "AddressSanitizer: heap-buffer-overflow"),
        ("static_out_of_bounds", "address", "runtime error: index 32 out of bounds"),
        ("misaligned", "address", "runtime error: store to misaligned address"),
        ("missing-barrier", "thread", "ThreadSanitizer: data race"),
        ("hidden_by_a_shuffle", "thread", "ThreadSanitizer: data race"),
        ("refill_without_a_barrier", "thread", "ThreadSanitizer: data race"),
    ],
)
def test_what_a_sanitizer_catches(fault, sanitizer, report):
    done = under(sanitizer, fault)
    assert done.returncode and report in done.stderr, done.stderr[-3000:]


def test_a_race_hidden_by_a_shuffle_does_not_show_in_the_values():
    """Why the sanitizer is needed."""
    for order in ORDERS:
        np.testing.assert_array_equal(small("hidden_by_a_shuffle", Emulation(order))[:128], np.arange(128) ^ 1)


@pytest.mark.slow("test_ladder: right values in every order of threads")
@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_sound_kernels_are_clean(sanitizer):
    done = under(sanitizer, "clean")
    assert done.returncode == 0 and done.stdout.count("clean") == len(CLEAN), done.stderr[-3000:]
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr
