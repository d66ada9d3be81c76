"""What ranks cost, counted and not timed: bytes and messages of a step, what leaves before the backward pass ends, and
that all of them together do no pass and no update twice."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from minigpt import fast
from minigpt.data.batch import Batch
from minigpt.distributed import buckets
from minigpt.distributed.buckets import cut
from minigpt.distributed.ranks import MPIRanks
from minigpt.lab.plan.flops import row_flops
from minigpt.lab.plan.workload import workload
from minigpt.models import GPT, GPTConfig
from minigpt.train.config import build_config, read_preset
from minigpt.train.optimizer import AdamW, OptimizerConfig
from minigpt.train.passes import Passes
from minigpt.train.ranked import Ranked
from minigpt.train.workers import Trained

from .side_by_side import SideBySide, side_by_side
from .wires import MPI, Board, Wire

SHAPE = GPTConfig(vocab_size=20, context=8, layers=4, heads=2, width=32)
SHARDS, PASSES = 4, 2


class Backward(GPT):
    """Counts its backward passes, and knows whether one goes on."""

    count, going = 0, False

    def backward(self, *arguments):
        self.count, self.going = self.count + 1, True
        super().backward(*arguments)
        self.going = False


class Counted(SideBySide):
    """Counts what it sends: numbers of arrays, and bytes of small values."""

    def __init__(self, one, model):
        super().__init__(one.rank, one._board)
        self.model, self.early, self.late, self.gathered, self.small = model, [], [], [], []

    def all(self, value, doing=""):
        if doing:
            self.small.append(len(pickle.dumps(value)))
        return super().all(value, doing)

    def exchange(self, flat, edges, sources, doing):
        sent = edges[-1] - edges[0] - (edges[self.rank + 1] - edges[self.rank])
        (self.early if self.model.going else self.late).append(((edges[0], edges[-1]), sent))
        return super().exchange(flat, edges, sources, doing)

    def gather(self, flat, edges, doing):
        self.gathered.append((edges[self.rank + 1] - edges[self.rank]) * (self.size - 1))
        return super().gather(flat, edges, doing)


class Updates(AdamW):
    numbers = 0

    def step(self, params, grads, lr, *, scale=1.0, share=None):
        self.numbers += share.stop - share.start
        super().step(params, grads, lr, scale=scale, share=share)


def step(one, overlap):
    """One step of 8 rows in two batches; what was counted."""
    model = Backward(SHAPE)
    ranks = Counted(one, model)
    trained, made = ready(ranks, model, overlap)
    ranks.gathered.clear()  # of handing round the moments
    take(made)
    return ranks, trained, made.buckets


def ready(ranks, model, overlap):
    params = model.init(seed=0)
    trained = Trained(model, params, Updates(params, OptimizerConfig()), Passes(fast))
    return trained, Ranked(trained, ranks, SHARDS, overlap=overlap)


def take(made):
    batches = [Batch(*np.random.default_rng(part).integers(0, 20, (2, 4, 8))) for part in range(PASSES)]
    made.loss_and_grads(batches, seed=1, step=0)
    made.norm()
    made.update(1e-2)


@pytest.fixture
def small(monkeypatch):
    for name, size in (("NUMBERS", 4096), ("BLOCK", 128)):
        monkeypatch.setattr(buckets, name, size)
    monkeypatch.setattr("minigpt.train.optimizer.BLOCK", 128)


def test_a_step_sends_what_a_ring_sends_and_does_nothing_twice(small):
    """And a rank holds what ZeRO's formula says: 8 + 8/N bytes for each parameter."""
    size = 4
    every = side_by_side(size, lambda one: step(one, False))
    for ranks, trained, cuts in every:
        total, optimizer = trained.params.flat.size, trained.optimizer
        sent = sum(numbers for _, numbers in ranks.late)
        assert sent + sum(ranks.gathered) == pytest.approx(2 * (size - 1) / size * total, rel=0.05)
        assert len(ranks.late) == len(ranks.gathered) == len(cuts) <= total // 4096 + 1 and not ranks.early
        assert len(ranks.small) == 2  # losses and measures; the norm's sums
        assert trained.model.count == PASSES * SHARDS // size
        arrays = [trained.params.flat, optimizer.m, optimizer.v, *(grads.flat for grads in trained.gradients)]
        assert sum(x.nbytes for x in arrays) == pytest.approx((8 + 8 / size) * total, rel=0.05)
    assert sum(trained.optimizer.numbers for _, trained, _ in every) == every[0][1].params.flat.size


def test_all_but_the_first_layers_is_sent_before_the_backward_pass_ends(small):
    """The tables of tokens and positions are done last, and the vectors of all layers with them."""
    (ranks, trained, cuts), _ = side_by_side(2, lambda one: step(one, True))
    specs, params = trained.model.specs, trained.params
    tables = sum(spec.size for spec in specs if "blocks" not in spec.name and len(spec.shape) == 2)
    inner = [bucket for bucket in cuts if bucket.start >= tables and bucket.stop <= params.decayed]
    assert [place for place, _ in ranks.early] == [(bucket.start, bucket.stop) for bucket in inner]
    assert sum(b - a for (a, b), _ in ranks.early) > 0.8 * params.flat.size


def test_a_step_makes_no_other_calls_of_mpi(small, monkeypatch):
    """Messages and gathers that return at once: one collective more can take a hundred times as long as all of them."""
    monkeypatch.setattr(MPIRanks, "_watch", lambda self: None)
    board = Board()

    def one(rank):
        ranks = MPIRanks(Wire(rank, 2, board), MPI, patience=60.0)
        trained, made = ready(ranks, Backward(SHAPE), overlap=True)
        ranks._control.calls.clear(), ranks._large.calls.clear()  # the moments were handed round
        board.barrier.wait()
        take(made)
        return ranks, trained, len(made.buckets)

    with ThreadPoolExecutor(2) as pool:
        every = list(pool.map(one, range(2)))
    for ranks, _, buckets_ in every:
        assert ranks._large.calls == dict.fromkeys(("Isend", "Irecv", "Iallgatherv"), buckets_) and buckets_ > 3
        assert ranks._control.calls["Iallgather"] == 2  # losses and measures; the norm's sums
        assert ranks._control.calls.keys() <= {"Iallgather", "Iallgatherv"}  # the second where they are long
    by_copies = side_by_side(2, lambda one: step(one, True))
    assert np.array_equal(every[0][1].params.flat, by_copies[0][1].params.flat)


def test_another_collective_would_be_noticed():
    with pytest.raises(AssertionError, match="calls Ialltoallv of MPI"):
        Wire(0, 2, Board()).Ialltoallv([], [])


@pytest.mark.parametrize("ranks, share", [(2, 0.05), (4, 0.10)])
def test_the_exchange_is_a_small_part_of_tiny_s_step(ranks, share):
    """By counted work: at 64 MB in 47 ms and 12 µs a message, as two ranks of MPICH were measured on one machine, and
    cores of 25 billion operations a second."""
    config = build_config(read_preset("tiny"))
    config = replace(config, model=replace(config.model, vocab_size=1280))
    model, work = GPT(config.model), workload(config)
    size = sum(spec.size for spec in model.specs)
    assert size == work.parameters
    found = cut(size, ranks, ranks, model.specs[0].size)
    arithmetic = config.train.batch * row_flops(work).training / ranks / 25e9
    exchange = 4 * size * 2 * (ranks - 1) / ranks / (64e6 / 47e-3) + 12e-6 * (2 * len(found) + 2)
    assert exchange < share * (arithmetic + exchange)
