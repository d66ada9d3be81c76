"""Loss scaling for float16 (Micikevicius et al. 2018): gradients of a scaled loss, so that small ones are not lost.

float16 ends at 65504 above and at 6e-8 below; the gradients of a language model lie at the lower end. The backward pass
is linear, so a loss times s has gradients times s, which the optimizer divides by s again. If a gradient overflows, the
step is skipped and s halved; after a long run of good steps s is doubled. All scales are powers of two: nothing is
rounded by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

GROWTH_STEPS = 2000  # good steps in a row before the scale is doubled
LARGEST = 2.0**24


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
        if state:
            return cls(float(state["value"]), int(state["good_steps"]), adjusts=True)
        return cls(2.0**16, adjusts=True)

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
        """A step was made."""
        if self.adjusts:
            self.good_steps += 1
            if self.good_steps >= GROWTH_STEPS:
                self.value, self.good_steps = min(2 * self.value, LARGEST), 0
