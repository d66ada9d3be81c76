"""A model's loss on a text, and whatever else it measures there."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from minigpt.blocks.run import Run
from minigpt.core.backend import Array
from minigpt.core.measures import Measures, add_measures, means
from minigpt.core.params import Parameters
from minigpt.models.model import Model
from minigpt.train.passes import PLAIN, Passes
from minigpt.train.threads import ThreadPool


class Score(NamedTuple):
    """A mean loss in nats, over how many items each of its terms was taken, and the means of what was measured.

    A task's examples have predictions as well, from which its metrics are measured.
    """

    loss: float
    counts: dict[str, int]
    measures: dict[str, float]
    predictions: Sequence[Any] = ()

    @property
    def counted(self) -> tuple[str, int]:
        """What the loss is a mean over, and of how many: tokens, where there are any."""
        return ("tokens", self.counts["tokens"]) if "tokens" in self.counts else next(iter(self.counts.items()))

    @property
    def tokens(self) -> int:
        """How many tokens were predicted."""
        return self.counts["tokens"]

    @property
    def perplexity(self) -> float:
        """exp(loss): how many equally likely tokens the model hesitates between. Infinite where a float64 ends."""
        return math.exp(self.loss) if self.loss < 709 else math.inf

    def bits_per_byte(self, text_bytes: int) -> float:
        """Total −log₂ p of the predicted tokens over the bytes of the text that they are of, as it stands in its file
        (see `minigpt.data.encoded`): comparable across tokenizers. Infinite where only ends of documents are predicted.
        """
        return self.loss * self.tokens / math.log(2) / text_bytes if text_bytes else math.inf


class Passed(NamedTuple):
    """What a forward pass of one batch gives; `said` is what was asked for of its cache, on the CPU."""

    loss: float
    counts: dict[str, int]
    measures: Measures
    said: Any


def forward_all(
    model: Model,
    params: Parameters,
    batches: Sequence[Callable[[], Any]],
    denominators: dict[str, int],
    read: Callable[[Any], Array | None],
    *,
    threads: ThreadPool,
    passes: Passes = PLAIN,
    on_batch: Callable[[], object] = lambda: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Passed] | None:
    """Pass batches forward, and return what each of them gives, in order.

    Args:
        batches: functions that make them (see `minigpt.train.objectives`); each thread takes whole batches.
        denominators: what each term of the loss is divided by.
        read: what else is wanted of a pass, taken from its cache.
        on_batch: called when a batch is done (for a progress bar).
        should_stop: asked before each batch; once it says yes, the result is None.
    """
    run, weights = Run(denominators=denominators, ops=passes.operations), passes.weights(params)

    def passed(make: Callable[[], Any]) -> Passed:
        if should_stop():
            return Passed(0.0, {}, {}, None)
        batch = make()
        loss, cache = model.forward(weights, passes.on_device(batch), run)
        said = read(cache)
        on_batch()
        host = None if said is None else passes.backend.to_host(said)
        return Passed(loss, batch.counts(), model.measures(cache), host)

    results = threads.map(passed, batches)
    return None if threads.any(should_stop()) else results


def mean_loss(model: Model, params: Parameters, batches: Sequence[Callable[[], Any]], **how: Any) -> Score | None:
    """Score all batches together: each term of the loss is averaged over its items in all of them.

    Args:
        how: see `forward_all`.
    """
    counts = sum((Counter(make().counts()) for make in batches), Counter())
    denominators = {term: max(n, 1) for term, n in counts.items()}
    passed = forward_all(model, params, batches, denominators, lambda cache: None, **how)
    if passed is None:
        return None
    total: Measures = {}
    for one in passed:
        add_measures(total, one.measures)
    return Score(math.fsum(one.loss for one in passed), dict(counts), means(total))
