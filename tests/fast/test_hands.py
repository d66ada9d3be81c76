"""Products that several threads share: right, with the same bits whoever does what, and gone before a fork."""

import os
import threading

import numpy as np
import pytest

from minigpt.fast import loops
from minigpt.fast.loops import hands
from minigpt.fast.loops.linear import few_rows, row_product

pytestmark = pytest.mark.numba
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def ended():
    yield
    hands._dismiss()


def team():
    return [thread for thread in threading.enumerate() if thread.name == "hands"]


def numbers(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [(768, 257), (259, 1030), (7, 4)])
def test_a_row_times_a_matrix(shape, threads):
    """As it lies and transposed, with sizes that no number of pieces divides; the bits are the same every time."""
    x, w, transposed = numbers(shape[0]), numbers(*shape), numbers(*shape[::-1]).T
    for matrix in (w, transposed):
        results = []
        for _ in range(20):
            results.append(np.full(shape[1], np.nan, np.float32))
            assert row_product(x, matrix, results[-1], threads)
        error = np.abs(results[0] - x.astype(float) @ matrix)
        assert (error <= 4e-6 * (np.abs(x) @ np.abs(matrix))).all()
        assert len({y.tobytes() for y in results}) == 1
    assert len(team()) == (threads - 1 if w.size >= 1 << 17 else 0)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_few_rows_times_bytes(threads):
    x, values, scale = numbers(3, 515), RNG.integers(-127, 128, (301, 515), np.int8), np.abs(numbers(301))
    y = np.empty((3, 301), np.float32)
    assert few_rows(x, values, scale, y, threads)
    np.testing.assert_allclose(y, x.astype(float) @ (values.astype(float).T * scale), rtol=1e-4, atol=2e-3)


def test_what_lies_otherwise_is_left_to_blas():
    """Helpers get addresses only: other types, and numbers that are not neighbours, would be read wrongly."""
    x, w, y = numbers(8), numbers(8, 6), np.empty(6, np.float32)
    assert row_product(x, w, y, 2)
    for other in [
        (x.astype(float), w, y),
        (x, w.astype(float), y),
        (x, w, y.astype(float)),
        (x, w.T.astype(float).T, y),
    ]:
        assert not row_product(*other, 2)
    assert not row_product(numbers(16)[::2], w, y, 2) and not row_product(x, w, numbers(12)[::2], 2)
    assert not row_product(x, numbers(16, 6)[::2], y, 2) and not row_product(x, numbers(8, 12)[:, ::2], y, 2)
    assert not few_rows(x[None], np.ones((4, 8), np.int16), y[:4], y[None, :4], 2)


def test_linear_layers_take_them_for_one_row(monkeypatch):
    """With as many threads as BLAS has, and in the same way where an array does not lie plainly."""
    monkeypatch.setattr("minigpt.fast.team._cores", lambda: 2)
    monkeypatch.setattr("minigpt.fast.team.threads", lambda: 2)
    x, w, b = numbers(1, 1, 512), numbers(512, 300), numbers(300)
    expected = x @ w + b
    for row, matrix in [
        (x, w),
        (x, np.asfortranarray(w)),
        (np.repeat(x, 2, -1)[..., ::2], w),
        (x, np.repeat(w, 2, 0)[::2]),
    ]:
        y, _ = loops.OPERATIONS.linear_forward(row, matrix, b)
        np.testing.assert_allclose(y, expected, atol=2e-4)
    assert len(team()) == 1


def test_two_callers_take_turns():
    x, w = numbers(600), numbers(600, 400)
    expected, wrong = np.empty(400, np.float32), []
    row_product(x, w, expected, 2)

    def multiply(scale):
        y = np.empty(400, np.float32)
        for _ in range(50):
            row_product(x * scale, w, y, 2)
            if (y != expected * scale).any():
                wrong.append(scale)

    callers = [threading.Thread(target=multiply, args=(np.float32(2**i),)) for i in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_a_caller_whose_helper_is_kept_from_its_core_goes_on_alone(monkeypatch):
    """With the same bits, for as many products as it is told; then it tries again."""
    x, w, results = numbers(600), numbers(600, 400), []
    monkeypatch.setattr(hands, "_ALONE", 3)
    for patience in (1 << 62, -1, -1, -1, -1):  # what is waited for takes longer than −1
        monkeypatch.setattr(hands, "_PATIENCE", patience)
        results.append(np.empty(400, np.float32))
        row_product(x, w, results[-1], 2)
    assert len({y.tobytes() for y in results}) == 1
    assert hands.hands(2)._alone == 0
    row_product(x, w, results[0], 2)
    assert hands.hands(2)._alone == 3


def test_helpers_are_gone_before_a_fork_and_come_back():
    """A child would have none of them, and Python warns of forks beside threads."""
    x, w, y = numbers(600), numbers(600, 400), np.empty(400, np.float32)
    row_product(x, w, y, 2)
    assert len(team()) == 1
    child = os.fork()
    if child == 0:
        z = np.empty(400, np.float32)
        os._exit(0 if not team() and row_product(x, w, z, 2) and (z == y).all() else 1)
    assert os.waitpid(child, 0)[1] == 0 and not team()
    row_product(x, w, y, 2)
    assert len(team()) == 1
