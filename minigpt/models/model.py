"""What a model is, whatever its architecture: a configuration, specified parameters, a loss and its gradient."""

from __future__ import annotations

from typing import Any, Protocol

from minigpt.blocks.run import Run
from minigpt.core.backend import Array, Backend
from minigpt.core.measures import Measures
from minigpt.core.params import Parameters, ParameterSpec


class Model(Protocol):
    """A model that can be trained. It holds no state: what changes is passed in.

    Each model takes batches of its own kind (see `minigpt.data.batch.AnyBatch`) and gives back a cache of its own.
    Its loss is a sum of terms, each divided by `run.denominators[term]`, the count over the whole step (by the batch's
    own where the term is not named there); so losses and gradients of shards and accumulated batches add up.
    """

    family: str

    def __init__(self, config: Any) -> None:
        """A model of this configuration, a frozen dataclass of the family's."""
        ...

    @property
    def config(self) -> Any:
        """The family's configuration."""
        ...

    @property
    def specs(self) -> tuple[ParameterSpec, ...]:
        """The tensors, in the order of the buffer."""
        ...

    @property
    def parameter_count(self) -> int:
        """How many numbers the parameters are."""
        ...

    @property
    def head_width(self) -> int:
        """Numbers in an attention head, which decides which kernels can run."""
        ...

    def init(self, seed: int = 0, dtype: str = "float32", backend: Backend | str = "numpy") -> Parameters:
        """Fresh parameters."""
        ...

    def forward(self, params: Parameters, batch: Any, run: Run = ..., /) -> tuple[float, Any]:
        """The loss, in nats, per target of the whole step; and the cache for `backward`."""
        ...

    def backward(
        self, params: Parameters, grads: Parameters, cache: Any, run: Run = ..., /, scale: float = 1.0
    ) -> None:
        """Add scale times the loss's gradient to `grads`."""
        ...

    def measures(self, cache: Any, /) -> Measures:
        """What else of a forward pass is worth knowing, as {name: (sum, count)}.

        Sums and counts are added over shards and batches and divided at the end; they are logged for training as `name`
        and for validation as `val_name`, shown with the loss, and part of `minigpt eval --json`.
        """
        ...

    def logits(self, params: Parameters, /, *what: Any, **more: Any) -> Array:
        """The scores, of what the model reads: ids or a batch."""
        ...
