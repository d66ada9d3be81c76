"""A simulated step in the limits in which paper and pencil suffice."""

import pytest

from minigpt.lab.simulate.collectives import Group, Link, half
from minigpt.lab.simulate.pipeline import one_forward_one_backward
from minigpt.lab.simulate.step import Job, Layer, play

LINK = Link(1e-5, 1e9)
ALONE = Group(1, 1, LINK, LINK)


def data_parallel(ranks, layers, micro_batches=3, **how):
    return Job((layers,), micro_batches, Group(1, ranks, LINK, LINK), bucket=1.0, update=0.5, **how)


LAYERS = (Layer(0.1, 0.2, 4e6), Layer(0.3, 0.5, 8e6), Layer(0.2, 0.4, 2e6))
SECONDS = 3 * (0.6 + 1.1)


@pytest.mark.parametrize("sharded", [False, True])
def test_without_overlap_everything_adds_up(sharded):
    job = data_parallel(4, LAYERS, overlap=False, sharded=sharded)
    sums = sum(half("best", job.group, layer.bytes) for layer in LAYERS)
    after = 0.5 / 4 + half("best", job.group, 14e6) if sharded else sums + 0.5
    assert play(job).seconds == pytest.approx(SECONDS + sums + after)


def test_with_overlap_only_the_last_bucket_shows():
    """Each sum is over before the next layer's backward pass is, so what is left is the first layer's."""
    job = data_parallel(4, LAYERS)
    assert max(half("best", job.group, layer.bytes) for layer in LAYERS) < min(layer.backward for layer in LAYERS)
    after = half("best", job.group, 4e6) + 0.5 / 4 + half("best", job.group, 14e6)
    assert play(job).seconds == pytest.approx(SECONDS + after)


def test_on_a_slow_network_only_what_precedes_the_first_bucket_shows():
    layers = tuple(layer._replace(bytes=1000 * layer.bytes) for layer in LAYERS)
    job = data_parallel(4, layers, sharded=False)
    sums = 2 * sum(half("best", job.group, layer.bytes) for layer in layers)
    assert play(job).seconds == pytest.approx(SECONDS - 0.5 - 0.2 + sums + 0.5)


def test_one_rank_sends_nothing():
    played = play(data_parallel(1, LAYERS))
    assert played.seconds == pytest.approx(SECONDS + 0.5)
    assert {task.kind for task in played.tasks} == {"forward", "backward", "update"}


def test_buckets_hold_at_least_what_they_shall():
    job = data_parallel(2, LAYERS)._replace(bucket=9e6)
    reduced = [task.seconds for task in play(job).tasks if task.kind == "reduce"]
    assert reduced == pytest.approx([half("best", job.group, size) for size in (10e6, 4e6)])


@pytest.mark.parametrize("p, m, chunks", [(4, 8, 1), (4, 8, 2), (4, 8, 4), (1, 3, 1), (5, 3, 1), (3, 12, 2)])
def test_pipeline_bubbles(p, m, chunks):
    """(m + (p − 1)/v) (f + b), with v chunks of a stage's layers (Narayanan et al. 2021, section 2.2)."""
    job = Job(((Layer(1.0 / chunks, 2.0 / chunks),),) * (p * chunks), m, ALONE, p, chunks)
    assert play(job).seconds == pytest.approx(3 * (m + (p - 1) / chunks))
    assert job.arithmetic == pytest.approx(3 * m)


def test_a_message_between_stages_delays_the_first_and_the_last_pass():
    job = Job(((Layer(1.0, 2.0),),) * 4, 1, ALONE, 4, hop=0.25)
    assert play(job).seconds == pytest.approx(4 * 3 + 2 * 3 * 0.25)


def test_every_pass_comes_once_and_1f1b_holds_few():
    for stage in range(4):
        turns = one_forward_one_backward(stage, 4, 8)
        assert sorted(turns) == sorted({(back, k, 0) for back in (False, True) for k in range(8)})
        flying = [sum(1 if not t.backward else -1 for t in turns[:k]) for k in range(len(turns) + 1)]
        assert max(flying) == 4 - stage  # activations of so many micro-batches are held
    with pytest.raises(ValueError, match="do not divide"):
        one_forward_one_backward(0, 4, 6, chunks=2)


def test_all_wait_for_a_straggler():
    """Rank 2 computes twice as long: all sums of gradients, and so the step, wait for it."""
    slow = play(data_parallel(4, LAYERS, slowness=(1.0, 1.0, 2.0, 1.0)))
    after = half("best", Group(1, 4, LINK, LINK), 4e6) + 0.5 / 4 + half("best", Group(1, 4, LINK, LINK), 14e6)
    assert slow.seconds == pytest.approx(2 * SECONDS + after)
    alike = play(data_parallel(4, LAYERS, slowness=(1.0,) * 4))
    assert alike.seconds == play(data_parallel(4, LAYERS)).seconds  # one replica stands for all


def test_the_same_job_gives_the_same_times():
    job = data_parallel(16, LAYERS, slowness=tuple(1 + 0.01 * (7 * k % 16) for k in range(16)))
    assert play(job).spans == play(job).spans
