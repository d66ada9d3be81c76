"""What a cluster is like, and what a layer takes on it: the times that a simulation starts from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minigpt.core.settings import one_of, require
from minigpt.lab.plan.flops import row_flops
from minigpt.lab.plan.hardware import Gpu
from minigpt.lab.plan.layout import Split, stage_parameters
from minigpt.lab.plan.workload import Workload
from minigpt.lab.simulate.collectives import KINDS, Group, Link, all_reduce
from minigpt.lab.simulate.step import Job, Layer

UPDATE_BYTES = 28  # AdamW reads weights, gradients and two moments and writes all but the gradients: 7 x 4 bytes


@dataclass(frozen=True)
class Cluster:
    """The section [cluster] of a configuration, for `minigpt plan --simulate`. 0 means: as the plan has it.

    Attributes:
        node: ranks that share the fast link.
        link, network: bytes/s one way, in a node, and of a rank's network card. By default the makers' figures; between
            machines that compute on their processors 10 Gbit/s.
        link_latency, network_latency: seconds of an empty message, with all that starts it. Assumed.
        block_forward, block_backward: measured seconds of one block and one row on one rank; by default the counted
            arithmetic over the speed of the plan (peak · MFU).
        bucket: bytes of gradients that are sent together. overlap: whether while the backward pass goes on.
        collective: "ring", "tree", "two-level", or the fastest of them for each message, "best".
        tensor, pipeline: how many ways a model is split so; by default as the plan finds best.
        chunks: of layers on each stage of a pipeline (interleaved schedule).
        spread: σ of the ranks' speeds: a rank computes 1 + σ |z| times as long, z normal.
        straggler: how many times as long rank 0 computes.
        failure_hours: of one rank, from a failure to the next. 50,000 is 16,384 GPUs of Llama 3 with 419 unexpected
            interruptions in 54 days (Grattafiori et al. 2024, section 3.3.4).
        checkpoint, restart: seconds of writing one, and from a failure to the first new step. Assumed.
        checkpoint_every: seconds of work between checkpoints; by default Daly's optimum.
        seed: of speeds and failures.
    """

    node: int = 8
    link: float = 0.0
    network: float = 0.0
    link_latency: float = 3e-6
    network_latency: float = 10e-6
    block_forward: float = 0.0
    block_backward: float = 0.0
    bucket: float = 25e6
    overlap: bool = True
    collective: str = "best"
    tensor: int = 0
    pipeline: int = 0
    chunks: int = 1
    spread: float = 0.0
    straggler: float = 1.0
    failure_hours: float = 50_000.0
    checkpoint: float = 60.0
    restart: float = 600.0
    checkpoint_every: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("cluster.collective", self.collective, (*KINDS, "best"))
        for name in ("node", "chunks", "bucket"):
            value = getattr(self, name)
            require(value >= 1, f"cluster.{name} is {value}; it must be at least 1")
        for name in ("straggler", "failure_hours", "checkpoint"):
            value = getattr(self, name)
            require(value > 0, f"cluster.{name} is {value}; it must be above 0")
        for name in (
            "link", "network", "link_latency", "network_latency", "block_forward", "block_backward", "spread",
            "restart", "checkpoint_every", "seed", "tensor", "pipeline",
        ):  # fmt: skip
            value = getattr(self, name)
            require(value >= 0, f"cluster.{name} is {value}; it must not be negative")
        both = (self.block_forward > 0) == (self.block_backward > 0)
        require(both, "cluster.block_forward and block_backward are measured together; give both")


CPU_NETWORK = 10e9 / 8 * 0.9  # bytes/s of 10 Gbit/s Ethernet, less headers


class Machine(NamedTuple):
    """A cluster of one kind of GPU.

    Attributes:
        gpu: with the cluster's links in place of the makers'. speed: FLOP/s of a rank while it computes.
    """

    gpu: Gpu
    cluster: Cluster
    precision: str
    speed: float

    @property
    def inside(self) -> Link:
        return Link(self.cluster.link_latency, self.gpu.link)

    @property
    def between(self) -> Link:
        return Link(self.cluster.network_latency, self.gpu.network)

    @property
    def number_bytes(self) -> int:
        return 4 if self.precision == "float32" else 2


def machine(gpu: Gpu, cluster: Cluster, precision: str, mfu: float) -> Machine:
    stated = CPU_NETWORK if gpu.measured else gpu.network
    network = cluster.network or stated
    linked = gpu._replace(link=(cluster.link or gpu.link) if cluster.node > 1 else network, network=network)
    return Machine(linked, cluster, precision, gpu.peak(precision) * mfu)


def row_seconds(w: Workload, m: Machine) -> tuple[float, float, float]:
    """Seconds of one row on one rank that has a whole block: forward, backward of a block, and forward of what is
    behind the blocks (whose backward pass takes twice as long)."""
    flops, c = row_flops(w), m.cluster
    forward = (flops.linear + flops.attention) / w.layers / m.speed
    output = flops.output / m.speed
    return (c.block_forward, c.block_backward, output) if c.block_forward else (forward, 2 * forward, output)


def useful_seconds(w: Workload, m: Machine) -> float:
    """Seconds of one row's forward and backward pass on one rank, nothing computed twice, nothing sent."""
    forward, backward, output = row_seconds(w, m)
    return w.layers * (forward + backward) + 3 * output


def job_of(w: Workload, split: Split, m: Machine) -> Job:
    """A step of this workload, split so, on these machines."""
    c, t = m.cluster, split.tensor
    forward, backward, output = (split.micro_rows / t * seconds for seconds in row_seconds(w, m))
    states = m.number_bytes * split.micro_rows * w.stacks[0].tokens * w.width
    near = m.inside if t <= c.node else m.between
    sums = (3 if any(s.memory for s in w.stacks) else 2) * all_reduce("ring", Group(1, t, near, near), states)
    again = forward + sums if split.recompute == "full" else 0.0
    blocks = (w.parameters - _outside(w)) / w.layers / t
    block = Layer(forward + sums, backward + sums + again, m.number_bytes * blocks)
    parts = split.pipeline * (c.chunks if split.pipeline > 1 else 1)
    require(w.layers % parts == 0, f"{w.layers} layers are not a multiple of {parts} parts of a pipeline")
    stages = [[block] * (w.layers // parts) for _ in range(parts)]
    tables, heads = w.embedding, w.groups["output and heads"]
    stages[0].insert(0, Layer(0.0, 0.0, m.number_bytes * tables / t))
    if not heads and split.pipeline > 1:
        heads = w.groups["token embedding"]  # the last stage has a copy of the tied table
    stages[-1].append(Layer(output, 2 * output, m.number_bytes * heads / t))
    ranks = split.data * t * split.pipeline
    hop = (m.inside if ranks <= c.node else m.between).seconds(states / t)
    return Job(
        tuple(map(tuple, stages)),
        split.micro_batches,
        replicas(split, m),
        split.pipeline,
        parts // split.pipeline,
        hop,
        UPDATE_BYTES * stage_parameters(w, split) / m.gpu.bandwidth,
        split.zero > 0,
        c.bucket,
        c.overlap,
        c.collective,
        slowness(c, split.data * split.pipeline, t),
    )


def _outside(w: Workload) -> int:
    return w.embedding + w.groups["output and heads"]


def replicas(split: Split, m: Machine) -> Group:
    """Who holds the same weights. Ranks are numbered so that a tensor group comes first, then replicas, then stages."""
    each = math.gcd(split.data, max(1, m.cluster.node // split.tensor))
    return Group(split.data // each, each, m.inside, m.between)


def slowness(c: Cluster, units: int, tensor: int) -> tuple[float, ...]:
    """How many times as long each unit computes: the slowest of its tensor group. Empty if all are alike."""
    if not c.spread and c.straggler == 1.0:
        return ()
    factors = 1 + c.spread * np.abs(np.random.default_rng(c.seed).standard_normal((units, tensor)))
    factors[0, 0] *= c.straggler
    return tuple(factors.max(axis=1).tolist())
