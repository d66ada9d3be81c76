"""AdamW by one compiled loop: the same state and numbers as `AdamW`, one pass over them. It needs Numba."""

from __future__ import annotations

from collections.abc import Callable

from minigpt.core.params import Parameters
from minigpt.train.optimizer import AdamW, OptimizerConfig, Part


class CompiledAdamW(AdamW):
    """AdamW in all four variants; `loop` is `minigpt.fast.loops.adamw`."""

    def __init__(self, params: Parameters, config: OptimizerConfig, loop: Callable[..., None]):
        super().__init__(params, config)
        self._loop = loop

    def _update(self, part: Part, scale: float, rate: float, eps: float, keep: float) -> None:
        """The gradient is not overwritten."""
        c = self.config
        self._loop(part.p, part.g, part.m, part.v, part.decayed, c.beta1, c.beta2, rate, eps, keep, scale)
