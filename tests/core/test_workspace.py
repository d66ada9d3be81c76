"""Reused memory is never shared with anything that is still in use."""

import threading

import numpy as np

from minigpt.core import workspace

SHAPE = (100, 100)


def address(x):
    return x.__array_interface__["data"][0]


def test_a_buffer_comes_back_only_when_nothing_refers_to_it():
    workspace.release()
    first = workspace.empty(SHAPE, np.float32)
    where = address(first)
    view = first[3:, ::2].T
    del first
    second = workspace.empty(SHAPE, np.float32)  # the view still holds the first
    assert address(second) != where
    del view
    third = workspace.empty((50, 200), np.float32)  # any shape of the same size will do
    assert address(third) == where
    held = workspace.bytes_held()
    for _ in range(10):
        del third
        third = workspace.empty(SHAPE, np.float32)
    assert workspace.bytes_held() == held
    assert 2 * third.nbytes <= held <= 2 * third.nbytes * 1.125


def test_what_a_cache_holds_is_not_overwritten():
    workspace.release()
    rng = np.random.default_rng(0)
    kept = []
    for i in range(300):
        x = workspace.empty(SHAPE, np.float64)
        x[...] = i
        if rng.random() < 0.1:
            kept.append((i, (x[1:, :50],)))  # as deep inside as a cache would keep it
    assert all((view == i).all() for i, (view,) in kept)


def test_threads_have_pools_of_their_own():
    workspace.release()
    mine = workspace.empty(SHAPE, np.float32)
    where = address(mine)
    del mine
    found = []
    thread = threading.Thread(target=lambda: found.append(address(workspace.empty(SHAPE, np.float32))))
    thread.start()
    thread.join()
    assert found[0] != where and address(workspace.empty(SHAPE, np.float32)) == where


def test_small_and_empty_arrays():
    assert workspace.empty((3,), np.float32).shape == (3,)
    assert workspace.empty((0, 5000), np.float32).shape == (0, 5000)
    assert workspace.empty_like(np.ones((70, 80), np.float32).T).flags.c_contiguous


def test_batches_of_many_lengths_share_their_buffers():
    workspace.release()
    for length in range(64, 129):
        largest = workspace.empty((8, length, 128), np.float32).nbytes
    assert workspace.bytes_held() < 9 * largest


def test_release_forgets():
    workspace.empty(SHAPE, np.float32)
    workspace.release()
    assert workspace.bytes_held() == 0
