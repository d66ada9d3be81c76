"""AdamW by one compiled loop: the same state and numbers as `AdamW`, one pass over them. It needs Numba."""

from __future__ import annotations

from collections.abc import Callable

from minigpt.core.params import Parameters
from minigpt.train.optimizer import AdamW, OptimizerConfig


class CompiledAdamW(AdamW):
    """AdamW in all four variants; `loop` is `minigpt.fast.loops.adamw`."""

    def __init__(self, params: Parameters, config: OptimizerConfig, loop: Callable[..., None]):
        super().__init__(params, config)
        self._loop = loop

    def update(
        self,
        params: Parameters,
        grads: Parameters,
        lr: float,
        scale: float,
        start: int,
        stop: int,
        at: int | None = None,
    ) -> None:
        """See `AdamW.update`; the gradient is not overwritten."""
        c, at = self.config, start if at is None else at
        p, g = (x.flat[start:stop] for x in (params, grads))
        m, v = (x[at : at + stop - start] for x in (self.m, self.v))
        decayed = min(max(self._decayed - start, 0), stop - start)
        self._loop(p, g, m, v, decayed, c.beta1, c.beta2, *self._numbers(lr), scale)
