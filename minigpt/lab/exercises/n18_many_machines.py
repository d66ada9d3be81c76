"""Exercises of notebook 18, many machines."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minigpt import ops
from minigpt.lab.exercises.checks import Exercise, Function, Mistake
from minigpt.lab.plan.memory import sharded, state_bytes
from minigpt.lab.simulate.collectives import Group, Link, all_reduce
from minigpt.lab.simulate.step import Job, Layer, play


def _ring_round(pieces: np.ndarray, number: int) -> np.ndarray:
    """One round of a reduce-scatter: rank r's piece (r − number) mod n is added to by what rank r − 1 sends."""
    after, n = pieces.copy(), len(pieces)
    for rank in range(n):
        piece = (rank - 1 - number) % n
        after[rank, piece] = pieces[rank, piece] + pieces[rank - 1, piece]
    return after


def _overwritten(pieces: np.ndarray, number: int) -> np.ndarray:
    after, n = pieces.copy(), len(pieces)
    for rank in range(n):
        piece = (rank - 1 - number) % n
        after[rank, piece] = pieces[rank - 1, piece]
    return after


def _backwards(pieces: np.ndarray, number: int) -> np.ndarray:
    return _ring_round(pieces[::-1, ::-1], number)[::-1, ::-1]


def _rings(rng: np.random.Generator) -> Iterator[tuple]:
    for n, width in ((2, 1), (3, 2), (5, 4)):
        for number in range(n - 1):
            yield rng.standard_normal((n, n, width)), number


def _ring_seconds(ranks: int, size: float, latency: float, bandwidth: float) -> float:
    link = Link(latency, bandwidth)
    return all_reduce("ring", Group(1, ranks, link, link), size)


def _links(rng: np.random.Generator) -> Iterator[tuple]:
    yield 1, 1e6, 1e-5, 1e9
    yield 2, 1e6, 1e-5, 1e9
    yield 64, 4e9, 5e-6, 5e10


def _drawn_links(rng: np.random.Generator) -> Iterator[tuple]:
    for _ in range(3):
        yield int(rng.integers(3, 500)), *(float(x) for x in rng.uniform((1e5, 1e-6, 1e8), (1e9, 1e-4, 1e11)))


def _zero_bytes(parameters: int, ranks: int, stage: int) -> float:
    return parameters * sharded(state_bytes("bfloat16"), stage, ranks)


def _models(rng: np.random.Generator) -> Iterator[tuple]:
    for stage in range(4):
        yield 100, 4, stage
        yield 7_500_000_000, 64, stage


def _drawn_models(rng: np.random.Generator) -> Iterator[tuple]:
    for stage in range(4):
        yield int(rng.integers(1, 1000)) * 1000, int(rng.integers(2, 100)), stage


def _parallel_mlp_backward(dy: np.ndarray, x: np.ndarray, ups: list, downs: list) -> np.ndarray:
    """dx of Σᵣ relu(x Uᵣ) Dᵣ."""
    return sum(_mlp_part(dy, x, up, down) for up, down in zip(ups, downs, strict=True))


def _mlp_part(dy: np.ndarray, x: np.ndarray, up: np.ndarray, down: np.ndarray) -> np.ndarray:
    relu_forward, relu_backward = ops.ACTIVATIONS["relu"]
    _, c_relu = relu_forward(x @ up)
    return relu_backward(dy @ down.T, c_relu) @ up.T


def _feed_forwards(rng: np.random.Generator) -> Iterator[tuple]:
    for rows, width, hidden, ranks in ((2, 3, 2, 1), (3, 4, 3, 2), (5, 6, 2, 4)):
        dy, x = rng.standard_normal((2, rows, width))
        ups, downs = rng.standard_normal((ranks, width, hidden)), rng.standard_normal((ranks, hidden, width))
        yield dy, x, list(ups), list(downs)


def _bubble(stages: int, micro_batches: int, chunks: int) -> float:
    """What a stage waits of a step, played event by event."""
    link = Link(0.0, 1.0)
    layers = ((Layer(1.0 / chunks, 2.0 / chunks),),) * (stages * chunks)
    job = Job(layers, micro_batches, Group(1, 1, link, link), stages, chunks)
    return 1 - job.arithmetic / play(job).seconds


def _pipelines(rng: np.random.Generator) -> Iterator[tuple]:
    yield 1, 4, 1
    yield 4, 8, 1
    yield 4, 8, 2
    yield 3, 1, 1


def _drawn_pipelines(rng: np.random.Generator) -> Iterator[tuple]:
    for _ in range(3):
        stages = int(rng.integers(2, 7))
        yield stages, stages * int(rng.integers(1, 6)), int(rng.integers(1, 4))


EXERCISES = (
    Exercise(
        "in round k rank r receives piece (r − 1 − k) mod n from rank r − 1 and adds it to its own; take what is sent "
        "from the array as it was before the round.",
        Function(
            _ring_round,
            _rings,
            mistakes=[
                Mistake(_overwritten, "What arrives is added, not put in place of what is there."),
                Mistake(_backwards, "That is the other way round: rank r receives from r − 1."),
            ],
        ),
    ),
    Exercise(
        "2 (n − 1) rounds, in each of which a rank sends S/n bytes: α + S/(n B) seconds.",
        Function(
            _ring_seconds,
            _links,
            drawn=_drawn_links,
            mistakes=[
                Mistake(lambda n, *a: _ring_seconds(n, *a) / 2, "That is a reduce-scatter; the gathering is missing."),
                Mistake(lambda n, s, a, b: _ring_seconds(n, n * s, a, b), "A message is a piece of S/n bytes."),
            ],
        ),
    ),
    Exercise(
        "2 for weights, 2 for gradients, 12 for master weights and moments. Stage 1 divides the 12, stage 2 also the "
        "gradients, stage 3 all.",
        Function(
            _zero_bytes,
            _models,
            drawn=_drawn_models,
            mistakes=[
                Mistake(lambda p, n, s: _zero_bytes(p, n, max(s - 1, 0)), "That is one stage less."),
                Mistake(lambda p, n, s: _zero_bytes(p, 1, 0) / n, "Only stage 3 divides everything."),
            ],
        ),
    ),
    Exercise(
        "each rank has its own part of dx, through its own matrices; x went to all of them, so the parts are added.",
        Function(
            _parallel_mlp_backward,
            _feed_forwards,
            mistakes=[
                Mistake(
                    lambda dy, x, ups, downs: _mlp_part(dy, x, ups[0], downs[0]),
                    "That is the first rank's part: the all-reduce is missing.",
                ),
                Mistake(
                    lambda dy, x, ups, downs: _parallel_mlp_backward(dy, x, ups, downs) / len(ups),
                    "Parts are added, not averaged.",
                ),
            ],
        ),
    ),
    Exercise(
        "a stage works for m (f + b) and waits for (p − 1)(f + b)/v.",
        Function(
            _bubble,
            _pipelines,
            drawn=_drawn_pipelines,
            mistakes=[
                Mistake(lambda p, m, v: (p - 1) / m / v, "That is waiting over working, not over the whole step."),
                Mistake(lambda p, m, v: _bubble(p, m, 1), "Chunks make the bubble smaller: p − 1 turns become 1/v."),
            ],
        ),
    ),
)
