"""A batch with fewer rows than threads: features, heads and row blocks are shared out instead."""

import contextvars
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minigpt import fast
from minigpt.core.params import Gradients
from minigpt.data.batch import Batch
from minigpt.fast import team
from minigpt.lab.gradcheck.cases import operation_cases
from minigpt.models import GPT, GPTConfig
from minigpt.train.stepper import stepping

CASES = {case.name: case for case in operation_cases(fast)}


@pytest.fixture(params=[2, 3], name="size")
def team_of(request, monkeypatch):
    """A team that shares out even the smallest work."""
    monkeypatch.setattr(team, "_LEAST_WORK", 1)
    with ThreadPoolExecutor(request.param) as executor, team.formed(executor, request.param):
        yield request.param


def run(case):
    y, cache = case.forward(case.inputs)
    dy = np.ones(np.shape(y))
    grads = {k: np.zeros_like(v) for k, v in case.inputs.items()}
    case.backward(dy, cache, grads)
    return y, grads


@pytest.mark.parametrize("name", CASES)
def test_a_team_computes_the_same(name, size):
    y, grads = run(CASES[name])
    expected, expected_grads = contextvars.Context().run(run, CASES[name])  # where there is no team
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-14)
    for key in grads:
        np.testing.assert_allclose(grads[key], expected_grads[key], rtol=1e-11, atol=1e-13)


def test_an_error_in_a_member_is_raised(size):
    def fail(item):
        if item == 3:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        team.each(fail, [(item,) for item in range(4)], work=1)


def test_nobody_waits_for_members_that_do_not_begin(monkeypatch):
    """All threads of the pool are busy with something else: the caller does everything, with the same bits."""
    monkeypatch.setattr(team, "_LEAST_WORK", 1)
    a, b = np.random.default_rng(0).standard_normal((2, 300, 300))
    release = threading.Event()
    with ThreadPoolExecutor(3) as executor:
        with team.formed(executor, 3):
            shared = team.product(a, b, np.empty((300, 300)))
            busy = [executor.submit(release.wait, 60) for _ in range(3)]
            try:
                alone = team.product(a, b, np.empty((300, 300)))
                done: list[int] = []
                results = team.each(done.append, [(item,) for item in range(9)], work=100)
            finally:
                release.set()
        assert all(future.result() for future in busy)
    assert done == list(range(9)) and results == [None] * 9 and np.array_equal(shared, alone)
    np.testing.assert_allclose(shared, a @ b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(90, 40), (40, 90)], ids=["tall", "wide"])
def test_a_product_adds_its_bias_and_takes_any_out(shape, size):
    rng = np.random.default_rng(0)
    a, b, bias = rng.standard_normal((shape[0], 30)), rng.standard_normal((30, shape[1])), rng.standard_normal(shape[1])
    for out in (np.empty(shape), np.empty(shape[::-1]).T):
        assert team.product(a, b, out, bias=bias) is out
        np.testing.assert_allclose(out, a @ b + bias, rtol=1e-12)


def test_a_member_that_is_stuck_in_one_piece_leaves_the_others_to_the_caller(monkeypatch):
    """A member sits in its first piece until all others are done: they are done by the caller."""
    monkeypatch.setattr(team, "_LEAST_WORK", 1)
    rest_done, begun, seen = threading.Event(), threading.Event(), []
    caller = threading.get_ident()

    def piece(item):
        if threading.get_ident() != caller:
            begun.set()
            assert rest_done.wait(600)
            return item
        assert begun.wait(600)  # the member has a piece in hand
        seen.append(item)
        if len(seen) == 7:
            rest_done.set()
        return item

    with ThreadPoolExecutor(2) as executor, team.formed(executor, 2):
        results = team.each(piece, [(item,) for item in range(8)], work=100)
    assert len(seen) == 7 and results == list(range(8))


def test_a_pass_alone_has_a_team_of_as_many_threads_as_blas(monkeypatch):
    monkeypatch.setattr(team, "_cores", lambda: 3)
    threads = max(lib["num_threads"] for lib in team._blas().info())
    with team.of_all_cores():
        assert team.TEAM.get().size == min(3, threads)
        assert team.TEAM.get().size == 1 or all(lib["num_threads"] == 1 for lib in team._blas().info())
    assert team.TEAM.get().size == 1 and max(lib["num_threads"] for lib in team._blas().info()) == threads


def test_cuts_cover_everything_in_order():
    for count in (1, 2, 3):
        assert [i for cut in team.cuts(7, count) for i in range(7)[cut]] == list(range(7))
        assert len(team.cuts(7, count)) == count
    assert team.cuts(0, 2) == [] and len(team.cuts(2, 3)) == 2


def test_one_row_on_two_workers_gives_the_plain_gradients_again_and_again(monkeypatch):
    monkeypatch.setattr(team, "_LEAST_WORK", 1)
    model = GPT(GPTConfig(vocab_size=50, context=600, layers=2, heads=3, width=24))
    params = model.init(seed=1, dtype="float64")
    batch = Batch(*np.random.default_rng(0).integers(0, 50, (2, 1, 600)))
    with stepping(model, params) as stepper:
        loss, grads = stepper.loss_and_grads([batch], seed=0, step=0)
        expected = grads.flat.copy()
    results = []
    with stepping(model, params, workers=2, operations=fast) as stepper:
        for _ in range(3):
            shared, grads = stepper.loss_and_grads([batch], seed=0, step=0)
            results.append(grads.flat.copy())
    assert team.TEAM.get().size == 1
    assert shared == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(results[0], expected, rtol=1e-9, atol=1e-12)
    assert all(np.array_equal(results[0], again) for again in results)


def test_gradients_count_as_zero_until_written():
    model = GPT(GPTConfig(vocab_size=5, context=3, layers=1, heads=1, width=2))
    flat = np.full(sum(spec.size for spec in model.specs), np.nan)
    grads = Gradients(model.specs, flat)
    tokens, first = grads.claim("tokens")
    assert first and not grads.claim("tokens")[1]
    tokens[...] = 7.0
    grads.into("positions")[0] += 1.0
    grads.into("positions")[0] += 1.0
    assert grads["positions"].sum() == 4.0
    with pytest.raises(ValueError, match=r"ask for it with into\('blocks.0.mlp.up.weight'\)"):
        grads["blocks.0.mlp.up.weight"]
    assert not grads["final_norm.bias"].any() and not grads.claim("final_norm.bias")[1]  # vectors are zero, all at once
    grads.complete()
    assert (grads["tokens"] == 7.0).all() and np.isfinite(flat).all()
    assert flat.sum() == 7.0 * grads["tokens"].size + 4.0
    grads.clear()
    assert (grads.into("tokens") == 0.0).all()
    assert not model.init().claim("tokens")[1]


@pytest.mark.parametrize("cores", [1, 8])
def test_one_row_times_a_matrix_that_lies_transposed(monkeypatch, cores):
    """A tied output layer, whole and without its first columns; a matrix of one column is not taken for one."""
    monkeypatch.setattr(team, "_cores", lambda: cores)
    rng = np.random.default_rng(0)
    x, table, bias = rng.standard_normal((1, 1, 5)), rng.standard_normal((70, 5)), rng.standard_normal(70)
    for b, shift in ((table.T, bias), (table.T[:, 3:], bias[3:]), (table[:1].T, bias[:1]), (table.T, None)):
        y = team.product(x, b, out=np.empty((1, 1, b.shape[1])), bias=shift)
        expected = [math.fsum(x[0, 0] * b[:, j]) + (0.0 if shift is None else shift[j]) for j in range(b.shape[1])]
        np.testing.assert_allclose(y[0, 0], expected, rtol=1e-12)
