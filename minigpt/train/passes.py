"""How forward and backward passes are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigpt import ops
from minigpt.blocks.mixed import Lowered, low_dtype
from minigpt.core.backend import Array, Backend
from minigpt.core.params import Parameters

_NUMPY = Backend("numpy", np)


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

    def weights(self, params: Parameters, copy: Array | None = None) -> Parameters:
        """The parameters as a pass takes them: as they are, or with 16-bit copies of the matrices (`copy` or new)."""
        return params if self.compute is None else Lowered(params, low_dtype(self.compute), copy)

    def on_device(self, batch: Any) -> Any:
        """The batch with its arrays where the model computes."""
        return batch._make(None if x is None else self.backend.asarray(x) for x in batch)


PLAIN = Passes()
