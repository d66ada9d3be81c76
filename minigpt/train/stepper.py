"""The steps of training: cut batches into shards, pass forward and backward, add up, measure the gradient, update."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from minigpt import ops
from minigpt.core.measures import Measures, add_measures
from minigpt.core.params import Gradients, Parameters
from minigpt.data.batch import AnyBatch
from minigpt.models.model import Model
from minigpt.train.optimizer import AdamW
from minigpt.train.passes import Passes
from minigpt.train.threads import ThreadPool
from minigpt.train.workers import ShardPass, Trained, Workers, make_workers


class Stepper:
    """Steps of one model, its parameters and its optimizer, made by workers."""

    def __init__(self, workers: Workers):
        self.workers = workers

    def loss_and_grads(
        self,
        batches: Sequence[AnyBatch],
        *,
        seed: int,
        step: int,
        measures: Measures | None = None,
        scale: float = 1.0,
    ) -> tuple[float, Gradients]:
        """Loss and gradient of one step: the mean over all targets of all `batches` (gradient accumulation).

        Every batch is cut into one shard per worker. Rows are numbered through all batches, so dropout does not
        depend on how they are cut. The returned gradients are overwritten by the next call.

        Args:
            batches: of any kind that `minigpt.train.objectives` describes.
            measures: what the model measures is added into it.
            scale: the gradient (not the returned loss) is multiplied by it.
        """
        workers, total = self.workers, {} if measures is None else measures
        workers.trained.prepare()
        counts = sum((Counter(batch.counts()) for batch in batches), Counter())
        draws = {"seed": seed, "step": step, "denominators": {x: max(counts[x], 1) for x in batches[0].counts()}}
        shards = min(workers.count, min(batch.row_count for batch in batches))
        loss, first_row = 0.0, 0
        for number, batch in enumerate(batches):
            common = number == 0, number == len(batches) - 1, draws, measures is not None, scale
            tasks = [ShardPass(rows, first_row + row, *common) for row, rows in batch.split(shards)]
            # too few rows to cut: the workers share out heads and blocks of rows
            results = workers.together(tasks) if shards > 1 else [workers.alone(tasks[0])]
            loss += sum(part for part, _ in results)
            for _, more in results:
                add_measures(total, more)
            first_row += batch.row_count
        workers.add_up(shards)
        return loss, workers.trained.gradients[0]

    def norm(self) -> float:
        """The global norm of the gradient that `loss_and_grads` returned."""
        return math.sqrt(sum(self.workers.squared_norms()))

    def update(self, lr: float, *, scale: float = 1.0) -> None:
        """`AdamW.step` with this gradient times `scale`, a slice for each worker."""
        self.workers.update(lr, scale)


@contextmanager
def stepping(
    model: Model,
    params: Parameters,
    optimizer: AdamW | None = None,
    *,
    workers: int = 1,
    operations: Any = ops,
    processes: bool = False,
) -> Iterator[Stepper]:
    """A stepper with workers of its own: threads, or processes where the system can fork."""
    trained = Trained(model, params, optimizer, Passes(operations))
    with ThreadPool(workers) as threads, closing(make_workers(trained, threads, processes=processes)) as made:
        yield Stepper(made)
