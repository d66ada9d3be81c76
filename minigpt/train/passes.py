"""How forward and backward passes are made; and the loss scale of those in float16 (Micikevicius et al. 2018).

float16 ends at 65504 above and at 6e-8 below; the gradients of a language model lie at the lower end. The backward pass
is linear, so a loss times s has gradients times s, which the optimizer divides by s again. If a gradient overflows, the
step is skipped and s halved; after a long run of good steps s is doubled. All scales are powers of two: nothing is
rounded by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigpt import ops
from minigpt.blocks.dispatch import operations
from minigpt.blocks.mixed import Lowered, low_dtype
from minigpt.core.backend import Array, Backend, backend_of
from minigpt.core.params import Parameters

_NUMPY = Backend("numpy", np)
GROWTH_STEPS = 2000  # good steps in a row before the scale is doubled
LARGEST = 2.0**24


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


def quick_passes(params: Parameters) -> Passes:
    """By the quickest operations there are where the parameters are."""
    backend = backend_of(params.flat)
    return Passes(operations("auto", backend), backend=backend)


@dataclass
class LossScale:
    """The scale and how many good steps it has seen; part of a checkpoint, since it decides what happens next.

    Attributes:
        value: s; 1 unless the run computes in float16.
        good_steps: since s last changed.
        adjusts: whether s follows the gradients.
    """

    value: float = 1.0
    good_steps: int = 0
    adjusts: bool = False

    @classmethod
    def of(cls, compute: str, state: dict[str, Any] | None = None) -> LossScale:
        """The scale of a run that computes in `compute`: a fresh one, or that of a checkpoint's state."""
        if compute != "float16":
            return cls()
        state = state or {"value": 2.0**16, "good_steps": 0}
        return cls(float(state["value"]), int(state["good_steps"]), adjusts=True)

    def state(self) -> dict[str, Any] | None:
        """What a checkpoint keeps, or None."""
        return {"value": self.value, "good_steps": self.good_steps} if self.adjusts else None

    @property
    def can_shrink(self) -> bool:
        """Whether a gradient that is not finite may be the scale's fault."""
        return self.adjusts and self.value > 1.0

    def shrink(self) -> None:
        """The gradient overflowed: half of it next time."""
        self.value, self.good_steps = self.value / 2, 0

    def count_good(self) -> None:
        """A step was made, with a scale that adjusts."""
        self.good_steps += 1
        if self.good_steps >= GROWTH_STEPS:
            self.value, self.good_steps = min(2 * self.value, LARGEST), 0
