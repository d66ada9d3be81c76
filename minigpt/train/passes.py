"""Passes: what a model and its batches have to offer, and how forward and backward passes are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minigpt import ops
from minigpt.blocks.mixed import Lowered, low_dtype
from minigpt.blocks.run import Run
from minigpt.core.backend import Backend
from minigpt.core.measures import Measures
from minigpt.core.params import Parameters, ParameterSpec

_NUMPY = Backend("numpy", np)


class Model(Protocol):
    """See `minigpt.models`."""

    specs: tuple[ParameterSpec, ...]
    head_width: int

    def init(self, seed: int, dtype: str = ..., backend: Backend = ...) -> Parameters: ...
    def forward(self, params: Parameters, batch: Any, run: Run) -> tuple[float, Any]: ...
    def backward(self, params: Parameters, grads: Parameters, cache: Any, run: Run, scale: float = 1.0) -> object: ...
    def measures(self, cache: Any) -> Measures: ...


class Batch(Protocol):
    """A NamedTuple of arrays; see `minigpt.train.objectives`."""

    @property
    def row_count(self) -> int: ...
    @property
    def token_count(self) -> int: ...
    def counts(self) -> dict[str, int]: ...
    def split(self, parts: int) -> list[tuple[int, Any]]: ...


@dataclass(frozen=True)
class Passes:
    """How passes are made.

    Attributes:
        operations: `minigpt.ops`, or others of the same names.
        compute: the dtype of 16 bits that passes are made in, with `Mixed` operations; None for the parameters' own.
        recompute: whether blocks keep only their input (see `minigpt.blocks.recompute`).
        backend: where the model computes.
    """

    operations: Any = ops
    compute: str | None = None
    recompute: bool = False
    backend: Backend = _NUMPY

    def weights(self, params: Parameters) -> Parameters:
        """The parameters as a pass takes them: as they are, or with 16-bit copies of the matrices."""
        return params if self.compute is None else Lowered(params, low_dtype(self.compute))

    def on_device(self, batch: Any) -> Any:
        """The batch with its arrays where the model computes."""
        return batch._make(None if x is None else self.backend.asarray(x) for x in batch)


PLAIN = Passes()
