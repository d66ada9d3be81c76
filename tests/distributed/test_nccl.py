"""Ranks with a GPU each, on stand-ins for CuPy and NCCL: the same sums, and streams that wait for each other."""

import numpy as np
import pytest

from minigpt import fast, ops
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.data.batch import Batch
from minigpt.distributed.nccl import NCCLRanks, engine
from minigpt.models import GPT
from minigpt.train import ranked
from minigpt.train.optimizer import AdamW, OptimizerConfig
from minigpt.train.passes import Passes
from minigpt.train.workers import Trained
from tests import fake_cupy, fake_nccl

from .side_by_side import SideBySide, side_by_side
from .test_buckets import SHAPE


@pytest.fixture
def cupy(monkeypatch):
    module = fake_cupy.install(monkeypatch)
    fake_nccl.install(module, monkeypatch)
    monkeypatch.setattr(SideBySide, "patience", 0.05, raising=False)
    return module


def test_pieces_reach_their_owners(cupy):
    edges = [0, 3, 3, 8]

    def work(control):
        ranks = NCCLRanks(control, cupy)
        flat = cupy.asarray(np.arange(8, dtype=np.float32) + 100 * ranks.rank)
        parts = [part.get() for part in ranks.exchange(flat, edges, 2, "a test").wait()]
        whole = cupy.asarray(np.full(8, ranks.rank, np.float64))
        ranks.gather(whole, edges, "a test").wait()
        return parts, whole.get()

    for rank, (parts, whole) in enumerate(side_by_side(3, work)):
        a, b = edges[rank : rank + 2]
        np.testing.assert_array_equal(parts, [np.arange(a, b) + 100 * source for source in range(2)])
        assert whole.tolist() == [0] * 3 + [2] * 5


def test_two_gpus_train_as_two_processes_do(cupy, monkeypatch):
    monkeypatch.setattr(ranked, "_GPU_BLOCK", None)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 50, (2, 2, 4, 8))

    def train(ranks, params, backend, operations):
        trained = Trained(GPT(SHAPE), params, AdamW(params, OptimizerConfig()), Passes(operations, backend=backend))
        made = ranked.Ranked(trained, ranks, 2)
        losses = [made.loss_and_grads([Batch(*batch)], seed=1, step=i)[0] for i, batch in enumerate(ids)]
        made.norm()
        made.update(1e-2)
        return losses

    def on_cpu(ranks):
        params = GPT(SHAPE).init(seed=0)
        return train(ranks, params, Passes(fast).backend, ops), params.flat

    def on_gpu(control):
        from minigpt.core.backend import Backend

        ranks, host = NCCLRanks(control, cupy), GPT(SHAPE).init(seed=0)
        params = Parameters(host.specs, cupy.asarray(host.flat))
        assert engine(ranks, params.flat) == "NCCL"
        return train(ranks, params, Backend("cupy", cupy), ops), params.flat.get()

    (cpu, weights), (gpu, others) = side_by_side(2, on_cpu)[0], side_by_side(2, on_gpu)[0]
    assert cpu == gpu and weights.tobytes() == others.tobytes()


def test_what_does_not_come_ends_in_time(cupy):
    def work(control):
        ranks = NCCLRanks(control, cupy)
        flat = cupy.asarray(np.zeros(4, np.float32))
        if ranks.rank == 0:
            ranks.exchange(flat, [0, 2, 4], 2, "the passes of step 3").wait()

    with pytest.raises(UserError, match="nothing came for 0.05 seconds in the passes of step 3".replace(".", r"\.")):
        side_by_side(2, work)


def test_the_stand_in_is_strict(cupy):
    comm = fake_nccl.NcclCommunicator(2, fake_nccl.nccl.get_unique_id(), 0)
    flat, stream = cupy.asarray(np.zeros(4, np.float32)), fake_nccl.Stream(non_blocking=True)
    with pytest.raises(AssertionError, match="outside of a group"):
        comm.send(flat.data.ptr, 4, 7, 1, stream.ptr)
    fake_nccl.group_start()
    for at in (0, stream.ptr):
        with pytest.raises(AssertionError, match="may not be computed"):
            comm.send(flat.data.ptr, 4, 7, 1, at)
    fake_nccl.group_end()
