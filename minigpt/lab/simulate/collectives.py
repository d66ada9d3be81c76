"""Collectives: who sends what to whom, message by message, and the same as formulas.

A message of b bytes takes α + b/B seconds on a link of latency α and bandwidth B. An all-reduce of S bytes over n
ranks:

    ring        2 (n − 1) (α + S/(n B))     n − 1 rounds that reduce and scatter, n − 1 that gather; each rank passes
                                            S/n bytes to its neighbour in every round (Patarasuk & Yuan 2009)
    tree        2 ⌈log₂ n⌉ (α + S/B)        a binomial tree: all of S up to one rank, and down again
    two-level   2 (g − 1) (α₁ + S/(g B₁)) + 2 (m − 1) (α₂ + S/(g m B₂))
                                            reduce-scatter within each of m nodes of g ranks; for each of the g pieces a
                                            ring of nodes, through a card of its own; gather within nodes

A reduce-scatter and an all-gather are each half of it. (A tree's halves are a reduce and a broadcast; recursive
halving, which reduces and scatters with as many latencies, is no slower.) A ring sends the fewest bytes but waits n − 1
latencies; a tree waits ⌈log₂ n⌉ of them but sends S every time: for large S the ring is faster, for small S the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from minigpt.lab.simulate.events import Task

KINDS = ("ring", "tree", "two-level")


class Link(NamedTuple):
    """latency: seconds of an empty message. bandwidth: bytes/s, one way."""

    latency: float
    bandwidth: float

    def seconds(self, size: float) -> float:
        return self.latency + size / self.bandwidth


class Group(NamedTuple):
    """Ranks that sum together: `nodes` nodes with `each` of them.

    `between` is one rank's own network card. A ring through all nodes leaves a node by all `each` cards at once (one
    ring for each, which starts at another rank), at most as fast as `inside`.
    """

    nodes: int
    each: int
    inside: Link
    between: Link

    @property
    def size(self) -> int:
        return self.nodes * self.each

    @property
    def flat(self) -> Link:
        """What each step of a ring through all ranks, or an edge of a tree, takes."""
        if self.nodes == 1:
            return self.inside
        bandwidth = min(self.each * self.between.bandwidth, self.inside.bandwidth if self.each > 1 else float("inf"))
        return Link(self.between.latency, bandwidth)


def half(kind: str, group: Group, size: float) -> float:
    """Seconds of a reduce-scatter (or all-gather) of `size` bytes; "best" takes the fastest kind."""
    n = group.size
    if n == 1:
        return 0.0
    if kind == "ring":
        return (n - 1) * group.flat.seconds(size / n)
    if kind == "tree":
        return (n - 1).bit_length() * group.flat.seconds(size)
    if kind == "two-level":
        inside = (group.each - 1) * group.inside.seconds(size / group.each) if group.each > 1 else 0.0
        return inside + (group.nodes - 1) * group.between.seconds(size / n)
    return min(half(each, group, size) for each in KINDS)


def all_reduce(kind: str, group: Group, size: float) -> float:
    """Seconds of an all-reduce of `size` bytes."""
    return 2 * half(kind, group, size)


def ring_messages(
    tasks: list[Task],
    ranks: Sequence[int],
    rounds: int,
    seconds: Callable[[int, int], float],
    ready: dict[int, int],
) -> None:
    """Append `rounds` rounds in which each rank sends to the next what it received in the round before.

    Args:
        seconds: of a message from one rank to another.
        ready: for each rank the task after which it may send; becomes the task that brought its last message.
    """
    for _ in range(rounds):
        received = {}
        for rank, following in zip(ranks, [*ranks[1:], ranks[0]], strict=True):
            after = (ready[rank],) if rank in ready else ()
            received[following] = len(tasks)
            tasks.append(Task("send", seconds(rank, following), (("out", rank),), after, f"{rank} to {following}"))
        ready.update(received)


def ring(n: int, seconds: Callable[[int, int], float]) -> list[Task]:
    """All messages of an all-reduce in a ring of n ranks, where a message of S/n bytes takes `seconds(from, to)`."""
    tasks: list[Task] = []
    if n > 1:
        ring_messages(tasks, range(n), 2 * (n - 1), seconds, {})
    return tasks


def tree(n: int, seconds: Callable[[int, int], float]) -> list[Task]:
    """All messages of an all-reduce in a binomial tree: in round j rank r sends to r − 2ʲ, if r ends in 1 and j zeros.

    A rank sends after all it received, and receives one message at a time. Down again is the mirror image.
    """
    tasks: list[Task] = []
    edges = [
        (rank, rank - (1 << level))
        for level in range((n - 1).bit_length())
        for rank in range(1 << level, n, 2 << level)
    ]
    last: dict[int, int] = {}  # each rank's latest task: it sends or receives, not both
    for sender, receiver in edges + [(low, high) for high, low in reversed(edges)]:
        after = tuple(sorted({last[rank] for rank in (sender, receiver) if rank in last}))
        last[sender] = last[receiver] = len(tasks)
        tasks.append(Task("send", seconds(sender, receiver), (("out", sender),), after, f"{sender} to {receiver}"))
    return tasks


def two_level(group: Group, size: float) -> list[Task]:
    """All messages of a two-level all-reduce; rank `node · each + i` keeps piece i of its node's sum."""
    tasks: list[Task] = []
    ready: dict[int, int] = {}
    inside, between = group.inside.seconds(size / group.each), group.between.seconds(size / group.size)
    nodes = [range(node * group.each, (node + 1) * group.each) for node in range(group.nodes)]
    for turn in range(3):
        if turn == 1:
            for piece in range(group.each if group.nodes > 1 else 0):
                ranks = range(piece, group.size, group.each)
                ring_messages(tasks, ranks, 2 * (group.nodes - 1), lambda *_: between, ready)
        else:
            for ranks in nodes if group.each > 1 else []:
                ring_messages(tasks, ranks, group.each - 1, lambda *_: inside, ready)
    return tasks
