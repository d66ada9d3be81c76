"""One training step as tasks: forward and backward passes, messages between stages, sums of gradients, the update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minigpt.lab.simulate.collectives import Group, half
from minigpt.lab.simulate.events import Span, Task, finish, run
from minigpt.lab.simulate.pipeline import one_forward_one_backward


class Layer(NamedTuple):
    """Seconds that a micro-batch takes on a rank, what is sent within its tensor group included; gradient bytes."""

    forward: float
    backward: float
    bytes: float = 0.0


class Job(NamedTuple):
    """A step.

    Attributes:
        stages: the layers of each virtual stage, in forward order: `pipeline · chunks` of them.
        micro_batches: that each replica works through.
        group: the ranks that hold the same weights, and their links; its size is the number of replicas.
        pipeline: stages of a replica. chunks: of layers on each, see `pipeline.one_forward_one_backward`.
        hop: seconds that a micro-batch takes from one stage to the next.
        update: seconds in which one rank would update all weights of its stage.
        sharded: ZeRO-1: gradients are reduced and scattered, each rank updates its part, and weights are gathered.
        bucket: bytes of gradients that are sent together, as soon as the last of them is complete.
        overlap: whether they are sent while the backward pass goes on, or after it.
        kind: of collective, or "best".
        slowness: how many times as long each rank of `replica · pipeline + stage` computes; empty: all alike, so that
            one replica stands for all.
    """

    stages: tuple[tuple[Layer, ...], ...]
    micro_batches: int
    group: Group
    pipeline: int = 1
    chunks: int = 1
    hop: float = 0.0
    update: float = 0.0
    sharded: bool = True
    bucket: float = 25e6  # as in PyTorch's DistributedDataParallel (Li et al. 2020)
    overlap: bool = True
    kind: str = "best"
    slowness: tuple[float, ...] = ()

    @property
    def arithmetic(self) -> float:
        """Seconds of the fullest stage's passes, if it never had to wait."""
        own = [self.stages[s :: self.pipeline] for s in range(self.pipeline)]
        return self.micro_batches * max(
            sum(layer.forward + layer.backward for part in parts for layer in part) for parts in own
        )


# A pass that can now come, if any, and the task of each replica that feeds it.
Fed = tuple[tuple[bool, int, int] | None, list[int]]


class Played(NamedTuple):
    """A step that was simulated."""

    tasks: Sequence[Task]
    spans: Sequence[Span]

    @property
    def seconds(self) -> float:
        return finish(self.spans)


def play(job: Job) -> Played:
    builder = _Builder(job)
    builder.passes()
    for stage in range(job.pipeline):
        builder.gradients(stage)
    return Played(builder.tasks, run(builder.tasks))


class _Builder:
    """Tasks of a step in an order in which each one comes after what it waits for.

    Streams: ("compute", replica, stage); ("network", stage) for the collectives of a stage's replicas, which all take
    part in each; ("send", replica, stage, way) for messages to the neighbouring stages, which do not queue behind
    gradients (two directions, full duplex).
    """

    def __init__(self, job: Job):
        self.job = job
        self.replicas = range(job.group.size if job.slowness else 1)
        self.tasks: list[Task] = []
        # For each stage (ready, bytes) in the order of the last backward pass; ready: a task of each replica.
        self.ready: dict[int, list[tuple[list[int], float]]] = {stage: [] for stage in range(job.pipeline)}

    def add(self, task: Task) -> int:
        self.tasks.append(task)
        return len(self.tasks) - 1

    def passes(self) -> None:
        """All stages' turns. A turn is appended once the turn of the neighbouring stage that feeds it is there."""
        job = self.job
        turns = [
            one_forward_one_backward(stage, job.pipeline, job.micro_batches, job.chunks)
            for stage in range(job.pipeline)
        ]
        at, fed = [0] * job.pipeline, dict[tuple[bool, int, int], list[int]]()
        left = sum(map(len, turns))
        while left:
            before = left
            for stage in range(job.pipeline):
                while at[stage] < len(turns[stage]):
                    turn = turns[stage][at[stage]]
                    virtual = turn.chunk * job.pipeline + stage
                    key = (turn.backward, turn.micro_batch, virtual)
                    first = virtual == 0 and not turn.backward
                    if not first and key not in fed:
                        break
                    following = self._turn(stage, virtual, turn.backward, turn.micro_batch, fed.pop(key, None))
                    if following[0] is not None:
                        fed[following[0]] = following[1]
                    at[stage] += 1
                    left -= 1
            if left == before:
                raise ValueError("the stages wait for each other")

    def _turn(self, stage: int, virtual: int, backward: bool, micro: int, after: list[int] | None) -> Fed:
        """One pass on every replica: what it feeds, as (backward, micro-batch, virtual stage), and its last tasks."""
        job, layers = self.job, self.job.stages[virtual]
        last = len(job.stages) - 1
        split = backward and micro == job.micro_batches - 1  # its gradients become complete layer by layer
        costs = [layer.backward for layer in reversed(layers)] if backward else [layer.forward for layer in layers]
        kind, done = "backward" if backward else "forward", []
        parts = costs if split else [sum(costs)]
        ends: list[list[int]] = [[] for _ in parts]
        for replica in self.replicas:
            slow = job.slowness[replica * job.pipeline + stage] if job.slowness else 1.0
            waits = (after[replica],) if after else ()
            for end, seconds in zip(ends, parts, strict=True):
                number = self.add(Task(kind, seconds * slow, (("compute", replica, stage),), waits, str(micro + 1)))
                end.append(number)
                waits = ()
            done.append(number)
        if split:
            self.ready[stage] += [(end, layer.bytes) for end, layer in zip(ends, reversed(layers), strict=True)]
        target = virtual - 1 if backward else virtual + 1
        if virtual == last and not backward:
            return (True, micro, virtual), done
        if target < 0:
            return None, done
        if job.pipeline > 1 and job.hop:
            way = "up" if backward else "down"
            done = [
                self.add(Task("send", job.hop, (("send", replica, stage, way),), (done[replica],)))
                for replica in self.replicas
            ]
        return (backward, micro, target), done

    def gradients(self, stage: int) -> None:
        """Sum the stage's gradients bucket by bucket, update, and gather the new weights if they are sharded."""
        job, ways = self.job, self.job.group.size
        network, parts, sums = (("network", stage),), self.ready[stage], tuple[int, ...]()
        total, last = sum(size for _, size in parts), tuple(parts[-1][0])
        for ready, size in _buckets(parts, job.bucket) if ways > 1 else []:
            seconds = half(job.kind, job.group, size) * (1 if job.sharded else 2)
            sums = (self.add(Task("reduce", seconds, network, tuple(ready) if job.overlap else last)),)
        cost = job.update / (ways if job.sharded else 1)
        updates = [
            self.add(Task("update", cost, (("compute", replica, stage),), (last[replica], *sums)))
            for replica in self.replicas
        ]
        if job.sharded and ways > 1:
            self.add(Task("gather", half(job.kind, job.group, total), network, tuple(updates)))


def _buckets(parts: list[tuple[list[int], float]], least: float) -> list[tuple[list[int], float]]:
    """Gather parts into buckets of at least so many bytes; the last one is what is left."""
    buckets, held = [], 0.0
    for number, (ready, size) in enumerate(parts):
        held += size
        if held and (held >= least or number == len(parts) - 1):
            buckets.append((ready, held))
            held = 0.0
    return buckets
