"""How the flat buffers of gradients and parameters are cut for ranks.

The buffer is cut into blocks, whose edges depend on the run alone and not on the number of ranks: those over which the
gradient's norm is summed. A bucket is a number of blocks side by side, which travels as soon as the backward pass is
done with it. Of every bucket each rank owns a piece of whole blocks: it sums up the gradient there, keeps the moments
(ZeRO's first stage) and makes the update. The pieces of a bucket are equal as far as blocks allow, and what one bucket
gives a rank too little, the next ones make up for.
"""

from __future__ import annotations

import itertools
from bisect import bisect
from typing import NamedTuple

from minigpt.core.sums import BLOCK

NUMBERS = 1 << 21  # of a bucket at least: below it, a message's fixed cost counts


class Bucket(NamedTuple):
    """A part of the flat buffer.

    Attributes:
        edges: where the ranks' pieces begin, and where the last one ends.
        blocks: where the blocks begin, and where the last one ends.
    """

    edges: tuple[int, ...]
    blocks: tuple[int, ...]

    @property
    def start(self) -> int:
        return self.edges[0]

    @property
    def stop(self) -> int:
        return self.edges[-1]

    def piece(self, rank: int) -> tuple[int, int]:
        """Where a rank's own part begins and ends."""
        return self.edges[rank], self.edges[rank + 1]

    def blocks_of(self, rank: int) -> list[tuple[int, int]]:
        """Where each block of a rank's own part begins and ends."""
        start, stop = self.piece(rank)
        return [(a, b) for a, b in itertools.pairwise(self.blocks) if start <= a < stop]


def block_edges(size: int, slices: int, block: int | None = None) -> list[int]:
    """Cut 0 … size into slices as workers do, and each of them into blocks: where they begin, and the end."""
    edges = [size * i // slices for i in range(slices + 1)]
    return [a for start, stop in itertools.pairwise(edges) for a in range(start, stop, block or BLOCK)] + [size]


def cut(size: int, slices: int, ranks: int, first: int, block: int | None = None) -> list[Bucket]:
    """The buckets of a buffer in the order in which a backward pass is done with them: from the end to the start.

    Args:
        slices: of the buffer, as many as there are shards of a batch (see `block_edges`).
        first: numbers at the start that stand in the model's order (matrices); what is behind them, vectors of all
            layers, comes last.
        block: numbers of a block; by default `BLOCK`.
    """
    edges = block_edges(size, slices, block)
    found: list[Bucket] = []
    start, owned = 0, [0] * ranks
    for place in range(1, len(edges)):
        if edges[place] - edges[start] >= max(NUMBERS, ranks * BLOCK) or place == len(edges) - 1:
            found.append(_bucket(edges[start : place + 1], owned))
            start = place
    early = [bucket for bucket in found if bucket.stop <= first]
    return early[::-1] + found[len(early) :]


def _bucket(blocks: list[int], owned: list[int]) -> Bucket:
    """A bucket of these blocks; `owned`, what each rank has so far, grows by its pieces."""
    ranks, total = len(owned), sum(owned) + blocks[-1] - blocks[0]
    wanted = [max(0.0, total / ranks - has) for has in owned]
    scale, place, pieces = (blocks[-1] - blocks[0]) / (sum(wanted) or 1.0), float(blocks[0]), [blocks[0]]
    for share in wanted[:-1]:
        place += share * scale
        after = min(bisect(blocks, place), len(blocks) - 1)
        nearer = after if blocks[after] - place < place - blocks[after - 1] else after - 1
        pieces.append(blocks[nearer])
    pieces.append(blocks[-1])
    for rank, (a, b) in enumerate(itertools.pairwise(pieces)):
        owned[rank] += b - a
    return Bucket(tuple(pieces), tuple(blocks))
