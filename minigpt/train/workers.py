"""Workers: several that make each training step together, every one with a part of the batch and private gradients.

A worker per core with one BLAS thread each beats one thread with all BLAS threads, because element-wise work is shared
too. What is asked of workers are tasks: calls of a member's methods, which can be sent to where the member is.
Which member adds, squares or updates what depends on its number alone, and sums are made in the members' order,
whichever finished first; so a run gives the same bits every time, and the same with every kind of workers:

    Workers     one after another, in the calling thread
    Threads     side by side: NumPy lets go of the interpreter's lock in products and large element-wise operations
    Processes   forks with a lock each. A NumPy call has to take the lock back, hundreds of times a step, and in a small
                model threads often wait for each other (`minigpt bench step --shape S --against threads`). Parameters,
                gradients and moments lie in memory that all see; the rows of a batch are sent, and a loss comes back

Ranks, processes of one or of many machines, are a fourth kind: see `minigpt.train.ranked`.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from minigpt.blocks.run import Run
from minigpt.core.backend import array_module
from minigpt.core.measures import Measures, add_measures
from minigpt.core.params import Gradients, Parameters
from minigpt.core.sums import add_up
from minigpt.data.batch import AnyBatch
from minigpt.models.model import Model
from minigpt.train.forks import Forks, can_fork, shared_copy, shared_zeros
from minigpt.train.optimizer import AdamW, Share, squared_norm
from minigpt.train.passes import PLAIN, Passes
from minigpt.train.threads import QUIET, ThreadPool

_T = TypeVar("_T")


@dataclass
class Trained:
    """What workers train together.

    Attributes:
        weights: the parameters as this step's passes take them.
        gradients: one for each worker; the first also holds the sum.
        sums: the order in which they are added (see `minigpt.core.sums`).
    """

    model: Model
    params: Parameters
    optimizer: AdamW | None = None
    passes: Passes = PLAIN
    weights: Parameters = field(init=False)
    gradients: list[Gradients] = field(default_factory=list)
    sums: str = "tree"

    def __post_init__(self) -> None:
        self.weights = self.params


@dataclass(frozen=True)
class Member:
    """One of the workers: its number, what they train, and its part of the flat buffer."""

    number: int
    trained: Trained
    slice: tuple[int, int]

    @np.errstate(**QUIET)
    def do(self, task: Task[_T]) -> _T:
        """What a task comes to that this member does."""
        return task(self)

    def shard_pass(
        self, rows: Any, row: int, draws: dict[str, Any], *, first: bool, last: bool, measured: bool, scale: float
    ) -> tuple[float, Measures]:
        """Forward and backward of this member's rows: its part of the loss and of the measures.

        Args:
            rows: a batch of the rows.
            row: the number of the first of them in the step.
            draws: seed and step of dropout, and the denominators of the loss.
            first, last: the step begins, or ends, with this pass: gradients count as zero before, or are valid after.
            scale: gradients are multiplied by it.
        """
        t, rows = self.trained, self.trained.passes.on_device(rows)
        grads = t.gradients[self.number]
        if first:
            grads.clear()
        run = Run(train=True, **draws, row=row, recompute=t.passes.recompute, ops=t.passes.operations)
        loss, cache = t.model.forward(t.weights, rows, run)
        t.model.backward(t.weights, grads, cache, run, scale)
        if last:
            grads.complete()
        return loss, t.model.measures(cache) if measured else {}

    def add_up(self, members: int) -> None:
        """Add the gradients of the first so many members to the first's, in this member's slice."""
        start, stop = self.slice
        add_up([grads.flat[start:stop] for grads in self.trained.gradients[:members]], self.trained.sums)

    def squares(self) -> float:
        """Σ g² of this member's slice of the sum."""
        t = self.trained
        square = squared_norm if t.optimizer is None else t.optimizer.squared_norm
        return square(t.gradients[0].flat, *self.slice)

    def update(self, number: int, lr: float, scale: float) -> None:
        """An update of this member's slice of the parameters, by its number (see `AdamW.step`)."""
        t = self.trained
        assert t.optimizer is not None  # of those that update
        t.optimizer.step(t.params, t.gradients[0], lr, scale=scale, share=Share(number, *self.slice))


Task = Callable[[Member], _T]  # a call of one of a member's methods; of what can be pickled
ShardTask = Task[tuple[float, Measures]]


class Workers:
    """As many as there are threads: they make the steps of `trained` until `close`, here one after another.

    What a task raises is raised here; of several errors the first member's.
    """

    def __init__(self, trained: Trained, threads: ThreadPool):
        self.trained, self.count, self._threads = trained, threads.count, threads
        slices = itertools.pairwise(trained.params.flat.size * i // self.count for i in range(self.count + 1))
        self.members = [Member(number, trained, part) for number, part in enumerate(slices)]
        if not trained.gradients:
            empty = array_module(trained.params.flat).empty_like
            trained.gradients = [Gradients(trained.params.specs, empty(trained.params.flat)) for _ in self.members]

    def loss_and_grads(
        self, batches: Sequence[AnyBatch], *, seed: int, step: int, measures: Measures | None = None, scale: float = 1.0
    ) -> tuple[float, Gradients]:
        """Loss and gradient of one step: the mean over all targets of all `batches` (gradient accumulation).

        Every batch is cut into one shard per member. Rows are numbered through all batches, so dropout does not depend
        on how they are cut. The returned gradients are overwritten by the next call.

        Args:
            batches: of any kind that `minigpt.train.objectives` describes.
            measures: what the model measures is added into it.
            scale: the gradient (not the returned loss) is multiplied by it.
        """
        trained, total = self.trained, {} if measures is None else measures
        copy = None if trained.optimizer is None else trained.optimizer.copy
        trained.weights = trained.passes.weights(trained.params, copy)
        counts = sum((Counter(batch.counts()) for batch in batches), Counter())
        draws = {"seed": seed, "step": step, "denominators": {x: max(counts[x], 1) for x in batches[0].counts()}}
        shards = min(self.count, min(batch.row_count for batch in batches))
        made = partial(Member.shard_pass, draws=draws, measured=measures is not None, scale=scale)
        tasks, first_row = [], 0
        for number, batch in enumerate(batches):
            place = partial(made, first=number == 0, last=number == len(batches) - 1)
            tasks.append([partial(place, rows=rows, row=first_row + row) for row, rows in batch.split(shards)])
            first_row += batch.row_count
        loss = 0.0
        for results in self.passes(tasks, step):
            loss += sum(part for part, _ in results)
            for _, more in results:
                add_measures(total, more)
        return loss, trained.gradients[0]

    def passes(self, tasks: Sequence[Sequence[ShardTask]], step: int) -> list[list[tuple[float, Measures]]]:
        """Make the passes of a step, batch by batch and in each a shard for each member, and add up the gradients."""
        shards, results = len(tasks[0]), []
        for batch in tasks:
            # where there are too few rows to cut, the members share out heads and blocks of rows
            results.append([self.alone(batch[0])] if shards == 1 < self.count else self.together(batch))
        if shards > 1:
            self.together([partial(Member.add_up, members=shards)] * self.count)
        return results

    def norm(self) -> float:
        """The global norm of the gradient that `loss_and_grads` returned."""
        return math.sqrt(sum(self.together([Member.squares] * self.count)))

    def update(self, lr: float, *, scale: float = 1.0) -> None:
        """`AdamW.step` with this gradient times `scale`; each member updates a slice of the parameters."""
        assert self.trained.optimizer is not None  # of those that update
        number = self.trained.optimizer.updates + 1
        self.together([partial(Member.update, number=number, lr=lr, scale=scale)] * self.count)

    def together(self, tasks: Sequence[Task[_T]]) -> list[_T]:
        """A task for each member, or for the first of them; results come in the members' order."""
        return [member.do(task) for member, task in zip(self.members, tasks, strict=False)]

    def alone(self, task: Task[_T]) -> _T:
        """A task for the first member, while the others have none: the threads help inside of it."""
        with self._threads.team():
            return self.members[0].do(task)

    @contextmanager
    def whole_moments(self) -> Iterator[None]:
        """While this lasts, the optimizer has all moments, to be saved."""
        yield

    def close(self) -> None:
        """End them."""


class Threads(Workers):
    """Each is one of the threads."""

    def together(self, tasks: Sequence[Task[_T]]) -> list[_T]:
        return self._threads.map(Member.do, self.members, tasks)


class Processes(Workers):
    """The first is the calling thread, the others are forks of this process.

    The parameters and moments move to shared memory; the objects stay those that the caller has.
    """

    def __init__(self, trained: Trained, threads: ThreadPool):
        params, optimizer = trained.params, trained.optimizer
        params.move(shared_copy(params.flat))
        if optimizer is not None:
            optimizer.m, optimizer.v = shared_copy(optimizer.m), shared_copy(optimizer.v)
        trained.gradients = [Gradients(params.specs, shared_zeros(params.flat)) for _ in range(threads.count)]
        super().__init__(trained, threads)
        self._forks = Forks([member.do for member in self.members[1:]])

    def together(self, tasks: Sequence[Task[_T]]) -> list[_T]:
        return self._forks.together(tasks[1:], partial(self.members[0].do, tasks[0]))

    def close(self) -> None:
        self._forks.close()


def make_workers(trained: Trained, threads: ThreadPool, *, processes: bool) -> Workers:
    """As many workers as threads: processes, where they are wanted and system, arrays and passes allow it."""
    if threads.count == 1:
        return Workers(trained, threads)
    in_memory = isinstance(trained.params.flat, np.ndarray) and trained.passes.compute is None
    return Processes(trained, threads) if processes and in_memory and can_fork() else Threads(trained, threads)
