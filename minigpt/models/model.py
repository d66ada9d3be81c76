"""What a model is, whatever its architecture: a configuration, specified parameters, a loss and its gradient."""

from __future__ import annotations

from typing import Any

from minigpt.blocks import BlockConfig
from minigpt.blocks.run import EVALUATION, Run
from minigpt.core.backend import Array, Backend
from minigpt.core.errors import UserError
from minigpt.core.measures import Measures
from minigpt.core.params import Parameters, ParameterSpec, decayed_first, initialize
from minigpt.ops import Cache


class Model:
    """A model that can be trained. It holds no state: what changes is passed in.

    Each model takes batches of its own kind (see `minigpt.data.batch.AnyBatch`) and gives back a cache of its own.
    Its loss is a sum of terms, each divided by `run.denominators[term]`, the count over the whole step (by the batch's
    own where the term is not named there); so losses and gradients of shards and accumulated batches add up.

    Attributes:
        config: the family's configuration, a frozen dataclass.
        block: of which kind its blocks are, for one with two stacks the encoder's.
        specs: the tensors, in the order of the buffer.
    """

    family: str
    config: Any
    block: BlockConfig
    specs: tuple[ParameterSpec, ...]

    def __init__(self, config: Any):
        """A model of this configuration.

        Raises:
            UserError: it has no tokens: a preset says 0, and the tokenizer is to say how many.
        """
        if config.vocab_size < 1:
            raise UserError("model.vocab_size is 0; give the size of the vocabulary")
        self.config, self.block = config, config.block()
        self.specs = decayed_first([*self.body_specs(), *self.head_specs()])

    def body_specs(self) -> list[ParameterSpec]:
        """The tensors of what all of the family's models have."""
        raise NotImplementedError

    def head_specs(self) -> list[ParameterSpec]:
        """What stands behind the body."""
        return []

    @property
    def parameter_count(self) -> int:
        """How many numbers the parameters are."""
        return sum(spec.size for spec in self.specs if spec.trained)

    @property
    def head_width(self) -> int:
        """Numbers in an attention head, which decides which kernels can run."""
        return self.block.head_width

    def init(self, seed: int = 0, dtype: str = "float32", backend: Backend | str = "numpy") -> Parameters:
        """Draw initial parameters: normal weights, zero biases, unit gains."""
        return initialize(self.specs, seed=seed, dtype=dtype, backend=backend)

    def forward(self, params: Parameters, batch: Any, run: Run = EVALUATION) -> tuple[float, Any]:
        """The loss, in nats, per target of the whole step; and the cache for `backward`."""
        raise NotImplementedError

    def backward(
        self, params: Parameters, grads: Parameters, cache: Any, run: Run = EVALUATION, scale: float = 1.0
    ) -> None:
        """Add scale times the loss's gradient to `grads`."""
        raise NotImplementedError

    def measures(self, cache: Cache) -> Measures:
        """What else of a forward pass is worth knowing, as {name: (sum, count)}; its cache has it.

        Sums and counts are added over shards and batches and divided at the end; they are logged for training as `name`
        and for validation as `val_name`, shown with the loss, and part of `minigpt eval --json`.
        """
        return cache.measures

    def logits(self, params: Parameters, *what: Any, **more: Any) -> Array:
        """The scores, of what the model reads: ids or a batch."""
        raise NotImplementedError
