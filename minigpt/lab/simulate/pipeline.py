"""The order in which a stage of a pipeline works through its micro-batches."""

from __future__ import annotations

from typing import NamedTuple


class Turn(NamedTuple):
    """One pass of a micro-batch through one of a stage's chunks of layers."""

    backward: bool
    micro_batch: int
    chunk: int


def one_forward_one_backward(stage: int, stages: int, micro_batches: int, chunks: int = 1) -> list[Turn]:
    """1F1B (Narayanan et al. 2019), interleaved if a stage has several chunks (Narayanan et al. 2021, section 2.2).

    A stage begins with as many forward passes as later stages need to send the first gradient back, goes on with a
    backward pass after each forward one, and ends with the backward passes left. With v chunks on a stage, chunk c of
    stage s holds the layers of part c p + s of v p; micro-batches pass in groups of p, and a stage waits
    (p − 1)(f + b)/v seconds of a step in place of (p − 1)(f + b).

    Raises:
        ValueError: several chunks, and p does not divide the number of micro-batches.
    """
    if chunks > 1 and micro_batches % stages:
        raise ValueError(f"{stages} interleaved stages do not divide {micro_batches} micro-batches")
    total = micro_batches * chunks
    ahead = stages - stage - 1 if chunks == 1 else 2 * (stages - stage - 1) + (chunks - 1) * stages
    ahead = min(ahead, total)
    turns = [_turn(k, stages, chunks, False) for k in range(ahead)]
    for k in range(total - ahead):
        turns += [_turn(ahead + k, stages, chunks, False), _turn(k, stages, chunks, True)]
    return turns + [_turn(k, stages, chunks, True) for k in range(total - ahead, total)]


def _turn(number: int, stages: int, chunks: int, backward: bool) -> Turn:
    if chunks == 1:
        return Turn(backward, number, 0)
    group, within = divmod(number, stages * chunks)
    chunk = within // stages
    return Turn(backward, group * stages + within % stages, chunks - 1 - chunk if backward else chunk)
