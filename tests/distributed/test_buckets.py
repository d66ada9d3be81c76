"""How buffers are cut, in which order parts are added, and that ranks make the sums of one process."""

import itertools
import math
from contextlib import closing

import numpy as np
import pytest

from minigpt import fast
from minigpt.core.params import Gradients
from minigpt.core.sums import BLOCK, add_up
from minigpt.data.batch import Batch
from minigpt.distributed import buckets
from minigpt.distributed.buckets import block_edges, cut
from minigpt.models import GPT, GPTConfig
from minigpt.train.muon import Muon
from minigpt.train.optimizer import AdamW, OptimizerConfig, clip_factor
from minigpt.train.passes import Passes
from minigpt.train.ranked import Ranked, shard_count
from minigpt.train.threads import ThreadPool
from minigpt.train.workers import Trained, Workers

from .side_by_side import side_by_side

SHAPE = GPTConfig(vocab_size=50, context=8, layers=2, heads=2, width=16, dropout=0.1)


def tree(parts):
    """The sum of a tree, by its definition."""
    while len(parts) > 1:
        pairs = itertools.zip_longest(parts[::2], parts[1::2])
        parts = [a if b is None else a + b for a, b in pairs]
    return parts[0]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_parts_are_added_in_their_order(count):
    parts = list(np.random.default_rng(count).standard_normal((count, 500)).astype(np.float32))
    line = np.add.accumulate(np.array(parts))[-1]
    np.testing.assert_array_equal(add_up([x.copy() for x in parts], "sequence"), line)
    np.testing.assert_array_equal(add_up([x.copy() for x in parts], "tree"), tree(parts))
    assert count < 4 or (line != tree(parts)).any()


@pytest.mark.parametrize("size, slices, ranks", [(10, 4, 4), (3 * BLOCK + 5, 1, 2), (40 * BLOCK - 7, 8, 4), (0, 2, 2)])
def test_pieces_cover_everything_once(size, slices, ranks, monkeypatch):
    monkeypatch.setattr(buckets, "NUMBERS", 4 * BLOCK)
    found = cut(size, slices, ranks, first=size - size // 8)
    pieces = sorted(bucket.piece(rank) for bucket in found for rank in range(ranks))
    assert [number for a, b in pieces for number in (a, b) if a < b] == [
        number for a, b in itertools.pairwise(sorted({a for p in pieces for a in p})) for number in (a, b)
    ]
    blocks = sorted(block for bucket in found for rank in range(ranks) for block in bucket.blocks_of(rank))
    assert blocks == [(a, b) for a, b in itertools.pairwise(block_edges(size, slices)) if a < b]
    assert {size * i // slices for i in range(slices)} <= {a for a, _ in blocks} | {0, size}


def test_pieces_follow_zero_within_five_percent():
    """12.3 million parameters on 2, 4, 8 ranks: moments and their share."""
    size = 12_300_000
    for ranks in (2, 4, 8):
        found = cut(size, ranks, ranks, first=size - 50_000)
        owned = [sum(b - a for a, b in (bucket.piece(rank) for bucket in found)) for rank in range(ranks)]
        assert sum(owned) == size and max(owned) <= 1.05 * size / ranks
        assert found[0].stop > found[1].stop > found[2].stop  # from the end, where a backward pass begins


def test_buckets_come_as_the_backward_pass_is_done_with_them(monkeypatch):
    monkeypatch.setattr(buckets, "NUMBERS", BLOCK)
    found = cut(20 * BLOCK, 1, 1, first=18 * BLOCK)
    assert [bucket.start // BLOCK for bucket in found] == [*range(17, -1, -1), 18, 19]


def train(trained, made, rows, passes):
    """Losses, norms and measures of two steps, and what they leave."""
    rng, seen = np.random.default_rng(0), []
    for step in range(2):
        batches = [Batch(*rng.integers(0, 50, (2, rows, 8))) for _ in range(passes)]
        measures = {}
        loss, _ = made.loss_and_grads(batches, seed=1, step=step, measures=measures)
        norm = made.norm()
        seen.append((loss, norm, measures))
        made.update(1e-2, scale=clip_factor(norm, 0.5))
    with made.whole_moments():
        optimizer = trained.optimizer
        return seen, optimizer.updates, [x.tobytes() for x in (trained.params.flat, optimizer.m, optimizer.v)]


def fresh(sums="tree", muon=False):
    model = GPT(SHAPE)
    params = model.init(seed=0)
    adamw = AdamW(params, OptimizerConfig())
    return Trained(model, params, Muon(params, adamw, ratio=5.0) if muon else adamw, Passes(fast), sums=sums)


def alone(shards, rows, passes, **how):
    trained = fresh(**how)
    with ThreadPool(shards) as threads, closing(Workers(trained, threads)) as made:
        return train(trained, made, rows, passes)


def ranked(ranks, shards, rows, passes, overlap=True, **how):
    def work(one):
        trained = fresh(**how)
        made = Ranked(trained, one, shard_count(shards, one.size), overlap=overlap)
        assert len(trained.optimizer.m) < 0.9 * trained.params.flat.size  # its own alone
        return train(trained, made, rows, passes)

    first, *others = side_by_side(ranks, work)
    assert all(other[0] == first[0] and other[2][0] == first[2][0] for other in others)
    return first


@pytest.mark.parametrize("ranks, shards, rows, passes", [(2, 8, 7, 2), (4, 4, 3, 1), (2, 2, 1, 1)])
def test_ranks_make_the_sums_of_one_process(ranks, shards, rows, passes, monkeypatch):
    monkeypatch.setattr(buckets, "NUMBERS", 1)
    monkeypatch.setattr(buckets, "BLOCK", 512)
    monkeypatch.setattr("minigpt.train.optimizer.BLOCK", 512)
    expected = alone(shards, rows, passes)
    assert ranked(ranks, shards, rows, passes) == expected
    assert ranked(ranks, shards, rows, passes, overlap=False) == expected
    assert len({loss for loss, *_ in expected[0]}) == 2


def test_muon_s_matrices_are_updated_whole(monkeypatch):
    """Pieces of 512 numbers cut nearly all of them."""
    monkeypatch.setattr(buckets, "NUMBERS", 2048)
    monkeypatch.setattr(buckets, "BLOCK", 512)
    monkeypatch.setattr("minigpt.train.optimizer.BLOCK", 512)
    expected = alone(4, 4, 1, muon=True)
    assert ranked(4, 4, 4, 1, muon=True) == expected != alone(4, 4, 1)


def test_a_run_that_adds_in_sequence_keeps_its_bits_where_each_rank_has_a_shard(monkeypatch):
    monkeypatch.setattr(buckets, "BLOCK", 512)
    monkeypatch.setattr("minigpt.train.optimizer.BLOCK", 512)
    expected = alone(4, 4, 1, sums="sequence")
    assert ranked(4, 4, 4, 1, sums="sequence") == expected != alone(4, 4, 1)


def test_shards_that_cannot_be_shared_out_become_one_for_each_rank():
    assert [shard_count(4, ranks) for ranks in (1, 2, 3, 4, 8)] == [4, 4, 3, 4, 8]


def test_a_scope_says_when_a_pass_is_done_with_it():
    specs = GPT(SHAPE).specs
    grads, said = Gradients(specs, np.full(sum(s.size for s in specs), np.nan, np.float32)), []
    with grads.watched(said.append):
        grads.scope("blocks").scope("0").done()
    grads.scope("blocks").scope("1").done()
    grads.complete("blocks.0.")
    assert said == ["blocks.0."] and not np.isnan(grads["blocks.0.attention.qkv.weight"]).any()
    with pytest.raises(ValueError, match="nothing was added"):
        grads["blocks.1.attention.qkv.weight"]
    assert math.isnan(grads.flat[0])
