"""Ranks as workers: every rank makes the passes of its shards, and all of them together the same sums as one process.

A run has S shards (`train.workers`), whatever the number N of ranks: rank r has the shards r S/N … (r + 1) S/N − 1. It
adds up their gradients as far as the tree of the run goes inside of them, then sends each rank the piece that is its
own; there the parts of all ranks are added in the rest of the tree. So where S/N is a power of two, N changes no bit.
Each rank updates its own piece, of which it alone has the moments (ZeRO's first stage, Rajbhandari et al. 2020), and
hands the new parameters round. A bucket's gradients are sent as soon as the backward pass of the last shard is done
with them, while it goes on.
"""

from __future__ import annotations

import itertools
import math
from collections import ChainMap, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from minigpt.core.backend import Array, array_module
from minigpt.core.measures import Measures
from minigpt.core.params import Gradients
from minigpt.core.sums import add_up
from minigpt.distributed.buckets import Bucket, cut
from minigpt.distributed.ranks import Ranks, Transfer
from minigpt.train.optimizer import Share, squared_norm
from minigpt.train.threads import ThreadPool
from minigpt.train.workers import Member, ShardTask, Trained, Workers

_T = TypeVar("_T")
_GPU_BLOCK = 1 << 20  # a sum of squares is a kernel and a wait there


def shard_count(workers: int, ranks: int) -> int:
    """Into how many shards a batch is cut: the run's number, or one for each rank where that cannot be shared out."""
    return workers if workers % ranks == 0 else ranks


class Ranked(Workers):
    """This rank's part of the work of all; its shards are passed one after another.

    Args:
        overlap: whether gradients are sent while the backward pass goes on; the bits are the same.
    """

    def __init__(self, trained: Trained, ranks: Ranks, shards: int, *, overlap: bool = True):
        self.trained, self.ranks, self.count, self._overlap = trained, ranks, shards, overlap
        each, flat = shards // ranks.size, trained.params.flat
        self._own = range(ranks.rank * each, (ranks.rank + 1) * each)
        # a tree needs one buffer for each of its levels, and one for the pass at hand
        empty = array_module(flat).empty_like
        trained.gradients = [Gradients(trained.params.specs, empty(flat)) for _ in range(each.bit_length())]
        self.members = [Member(number, trained, (0, 0)) for number in range(each.bit_length())]
        block = None if array_module(flat) is np else _GPU_BLOCK
        self.buckets = cut(flat.size, shards, ranks.size, trained.params.decayed, block)
        self._step = 0
        self._updated = self.buckets  # by piece, as ranks update them
        if (optimizer := trained.optimizer) is not None:
            whole = optimizer.whole
            self._updated = [Bucket(tuple(map(whole, bucket.edges)), bucket.blocks) for bucket in self.buckets]
            optimizer.copy = None  # a rank updates its own pieces, and gets the others in 32 bits
            optimizer.m, optimizer.v = self._dealt(optimizer.m), self._dealt(optimizer.v)

    def passes(self, tasks: Sequence[Sequence[ShardTask]], step: int) -> list[list[tuple[float, Measures]]]:
        shards, self._step = len(tasks[0]), step
        own = [number for number in self._own if number < shards]
        outbox = Outbox(self.ranks, self.buckets, self.trained, -(-shards // len(self._own)), self._doing("passes"))
        results: dict[tuple[int, int], tuple[float, Measures]] = {}
        levels: list[int] = []  # of the subtrees that are summed up, each in the gradients of its place
        for number in own:
            last, buffer = number == own[-1], len(levels)
            for place, batch in enumerate(tasks):
                watch = last and place == len(tasks) - 1 and self._overlap
                sent = partial(outbox.done, buffer=buffer)
                # where there are too few rows to cut, rank 0 passes alone, with the threads that one process would have
                with (
                    self.trained.gradients[buffer].watched(sent) if watch else nullcontext(),
                    ThreadPool(self.count if shards == 1 else 1) as threads,
                    threads.team(),
                ):
                    results[place, number] = self.members[buffer].do(batch[number])
            if not last:
                self._merge(levels)
        outbox.send_rest(len(levels))
        every = ChainMap(*self.ranks.all(results, self._doing("passes")))
        outbox.add_up()
        return [[every[place, number] for number in range(shards)] for place in range(len(tasks))]

    def _doing(self, what: str) -> str:
        return f"the {what} of step {self._step + 1}"

    def _merge(self, levels: list[int]) -> None:
        """Put the last shard's gradient with those before it, as far as the tree has both halves."""
        level, grads = 0, self.trained.gradients
        while levels and (self.trained.sums == "sequence" or levels[-1] == level):
            grads[len(levels) - 1].flat += grads[len(levels)].flat
            level = levels.pop() + 1
        levels.append(level)

    def norm(self) -> float:
        """The sums of all blocks of each slice, in their order, as other workers make them."""
        total, parts = self.trained.gradients[0].flat, dict[int, float]()
        for bucket in self.buckets:
            parts |= {start: squared_norm(total, start, stop) for start, stop in bucket.blocks_of(self.ranks.rank)}
        sums = ChainMap(*self.ranks.all(parts, self._doing("gradient's norm")))
        edges = itertools.pairwise(total.size * i // self.count for i in range(self.count + 1))
        starts = sorted(sums)
        return math.sqrt(sum(sum(sums[a] for a in starts if start <= a < stop) for start, stop in edges))

    def update(self, lr: float, *, scale: float = 1.0) -> None:
        t, transfers = self.trained, []
        assert t.optimizer is not None  # of those that update
        number = t.optimizer.updates + 1
        if self._updated != self.buckets:  # a matrix's gradient is needed together
            sums = [self.ranks.gather(t.gradients[0].flat, b.edges, self._doing("update")) for b in self.buckets]
            for transfer in sums:
                transfer.wait()
        for bucket, _, kept in self._places():
            share = Share(number, *bucket.piece(self.ranks.rank), kept.start)
            t.optimizer.step(t.params, t.gradients[0], lr, scale=scale, share=share)
            transfers.append(self.ranks.gather(t.params.flat, bucket.edges, self._doing("update")))
        for transfer in transfers:
            transfer.wait()

    def _places(self) -> Iterator[tuple[Bucket, slice, slice]]:
        """Each bucket, where in it this rank's piece lies, and where among the moments that this rank keeps."""
        at = 0
        for bucket in self._updated:
            start, stop = bucket.piece(self.ranks.rank)
            yield bucket, slice(start - bucket.start, stop - bucket.start), slice(at, at + stop - start)
            at += stop - start

    def _dealt(self, whole: Array) -> Array:
        """This rank's pieces of moments, which rank 0 has all of."""
        xp, own = array_module(whole), []
        for bucket, piece, _ in self._places():
            part = xp.empty(bucket.stop - bucket.start, whole.dtype)
            if self.ranks.first:
                part[...] = whole[bucket.start : bucket.stop]
            self.ranks.share(part, "handing round the moments")
            own.append(part[piece].copy())
        return xp.concatenate(own)

    @contextmanager
    def whole_moments(self) -> Iterator[None]:
        """On rank 0 the optimizer has all moments for a while."""
        optimizer = self.trained.optimizer
        assert optimizer is not None
        own = optimizer.m, optimizer.v
        optimizer.m, optimizer.v = (self._collected(x) for x in own)
        try:
            yield
        finally:
            optimizer.m, optimizer.v = own

    def _collected(self, own: Array) -> Array:
        xp = array_module(own)
        whole = xp.empty(self.trained.params.flat.size if self.ranks.first else 0, own.dtype)
        for bucket, piece, kept in self._places():
            part = xp.empty(bucket.stop - bucket.start, own.dtype)
            part[piece] = own[kept]
            edges = [edge - bucket.start for edge in bucket.edges]
            self.ranks.gather(part, edges, "collecting the moments").wait()
            if self.ranks.first:
                whole[bucket.start : bucket.stop] = part
        return whole


class Outbox:
    """Sends each bucket of the gradient in turn, as soon as nothing more is added to it, and adds up what comes.

    Args:
        sources: how many ranks have shards in this step.
    """

    def __init__(self, ranks: Ranks, buckets: Sequence[Bucket], trained: Trained, sources: int, doing: str):
        self._ranks, self._trained, self._sources, self._doing = ranks, trained, sources, doing
        self._waiting, self._sent = deque(buckets), deque[tuple[Bucket, Transfer]]()
        specs = trained.params.specs
        edges = itertools.pairwise(itertools.accumulate((spec.size for spec in specs), initial=0))
        self._open = {spec.name: place for spec, place in zip(specs, edges, strict=True)}  # what is still added to

    def done(self, prefix: str, buffer: int) -> None:
        """Send the buckets that are complete now that the tensors under `prefix` are, the last of them in `buffer`."""
        self._trained.gradients[buffer].complete(prefix)
        self._open = {name: place for name, place in self._open.items() if not name.startswith(prefix)}
        while self._waiting and not any(
            start < self._waiting[0].stop and stop > self._waiting[0].start for start, stop in self._open.values()
        ):
            self._send(buffer)
        if self._sent:
            self._sent[0][1].advance()

    def send_rest(self, buffer: int) -> None:
        while self._waiting:
            self._send(buffer)

    def _send(self, buffer: int) -> None:
        """Add this rank's parts of a bucket from the last subtree down to the first, and send each rank its piece."""
        bucket, grads = self._waiting.popleft(), self._trained.gradients
        for place in range(buffer, 0, -1):
            grads[place - 1].flat[bucket.start : bucket.stop] += grads[place].flat[bucket.start : bucket.stop]
        transfer = self._ranks.exchange(grads[0].flat, bucket.edges, self._sources, self._doing)
        self._sent.append((bucket, transfer))

    def add_up(self) -> None:
        """Put the sum of all ranks' parts into this rank's pieces of the first gradient."""
        total = self._trained.gradients[0].flat
        for bucket, transfer in self._sent:
            start, stop = bucket.piece(self._ranks.rank)
            total[start:stop] = add_up(transfer.wait(), self._trained.sums)


def pool(ranks: Ranks, workers: int) -> ThreadPool:
    """What shares out an evaluation: the ranks, or threads where there is one rank."""
    return RankPool(ranks) if ranks.size > 1 else ThreadPool(workers)


class RankPool(ThreadPool):
    """Ranks in the place of threads: each does every N-th part of what is mapped, and has the results of all."""

    def __init__(self, ranks: Ranks):
        super().__init__(1)
        self.ranks = ranks

    def __enter__(self) -> RankPool:
        self._limits = threadpool_limits(1, "blas")
        return self

    def __exit__(self, *exception: object) -> None:
        self._limits.restore_original_limits()

    def map(self, function: Callable[..., _T], *arguments: Any) -> list[_T]:
        """Apply `function`, whose results can be pickled, to the arguments; results come in their order."""
        tasks = [list(some) for some in arguments]
        own = super().map(function, *(some[self.ranks.rank :: self.ranks.size] for some in tasks))
        every = self.ranks.all(own, "a part of an evaluation")
        return [every[number % self.ranks.size][number // self.ranks.size] for number in range(len(tasks[0]))]

    def any(self, flag: bool) -> bool:
        return self.ranks.any(flag, "an evaluation")
