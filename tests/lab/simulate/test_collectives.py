"""Collectives played message by message take what the formulas say."""

import math

import pytest

from minigpt.lab.simulate.collectives import Group, Link, all_reduce, half, ring, tree, two_level
from minigpt.lab.simulate.events import Task, finish, run

SLOW, FAST = Link(1e-5, 1e9), Link(1e-6, 4e11)


def one_node(n):
    return Group(1, n, SLOW, SLOW)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("size", [1e3, 1e7])
def test_messages_take_what_the_formulas_say(n, size):
    played = finish(run(ring(n, lambda *_: SLOW.seconds(size / n))))
    assert played == pytest.approx(2 * (n - 1) * (1e-5 + size / n / 1e9))
    assert played == pytest.approx(all_reduce("ring", one_node(n), size))
    played = finish(run(tree(n, lambda *_: SLOW.seconds(size))))
    assert played == pytest.approx(2 * math.ceil(math.log2(n)) * (1e-5 + size / 1e9))
    assert played == pytest.approx(all_reduce("tree", one_node(n), size))


@pytest.mark.parametrize("nodes, each", [(1, 4), (3, 1), (2, 2), (4, 8)])
def test_two_levels(nodes, each):
    group, size = Group(nodes, each, FAST, SLOW), 1e6
    inside, between = 2 * (each - 1) * (1e-6 + size / each / 4e11), 2 * (nodes - 1) * (1e-5 + size / nodes / each / 1e9)
    assert finish(run(two_level(group, size))) == pytest.approx(inside + between)
    assert all_reduce("two-level", group, size) == pytest.approx(inside + between)


def test_every_rank_hears_of_every_other():
    """Who has whose numbers, followed message by message: afterwards each rank has all, by either way."""
    for n in (2, 3, 7, 8):
        messages = tree(n, lambda *_: 1.0)
        known = {rank: {rank} for rank in range(n)}
        for task in messages:
            sender, receiver = map(int, task.name.split(" to "))
            known[receiver] |= known[sender]
        assert all(have == set(range(n)) for have in known.values())
        assert len(messages) == 2 * (n - 1)
        assert len(ring(n, lambda *_: 1.0)) == 2 * n * (n - 1)


def test_one_slow_edge_slows_the_whole_ring():
    """The slow edge carries 2 (n − 1) messages one after the other."""
    n = 8
    tasks = ring(n, lambda sender, _: 5.0 if sender == 3 else 1.0)
    assert finish(run(tasks)) >= 5.0 * 2 * (n - 1)
    assert finish(run(tasks)) <= 5.0 * 2 * (n - 1) + n


def test_which_is_best():
    group = Group(16, 8, FAST, SLOW)
    times = [half(kind, group, 1e3) for kind in ("ring", "tree", "two-level")]
    assert half("best", group, 1e3) == min(times) == times[1]  # latencies: 7 against 127, and 7 + 15
    assert half("ring", one_node(64), 1e9) < half("tree", one_node(64), 1e9)
    assert half("two-level", group, 1e7) < half("ring", group, 1e7)


def test_a_ring_leaves_a_node_by_all_its_cards():
    assert Group(4, 8, FAST, SLOW).flat == Link(1e-5, 8e9)
    assert Group(4, 8, Link(1e-6, 2e9), SLOW).flat == Link(1e-5, 2e9)
    assert Group(4, 1, FAST, SLOW).flat == SLOW


def test_streams_do_one_thing_at_a_time_in_order():
    tasks = [Task("a", 2.0, ("x",)), Task("b", 1.0, ("y",)), Task("c", 1.0, ("x", "y")), Task("d", 1.0, ("y",), (1,))]
    spans = run(tasks)
    assert [span.begin for span in spans] == [0.0, 0.0, 2.0, 3.0]  # d stands behind c on y, though b ended long ago
    with pytest.raises(ValueError, match="wait for each other"):
        run([Task("a", 1.0, ("x",), (1,)), Task("b", 1.0, ("x",))])
