"""AdamW by one fused kernel: the same state and numbers as `AdamW`, one pass over them."""

from __future__ import annotations

from minigpt.core.backend import Array
from minigpt.core.params import Parameters
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.layers import Layers
from minigpt.kernels.optimizer import adamw
from minigpt.train.optimizer import AdamW, OptimizerConfig


class FusedAdamW(AdamW):
    """AdamW in all four variants, on a GPU or emulated.

    Attributes:
        copy: None, or an array of bfloat16 or float16 that receives the first of the new weights (those that weight
            decay applies to come first, so for a model it is the matrices), for passes to compute with.
    """

    def __init__(
        self,
        params: Parameters,
        config: OptimizerConfig,
        *,
        emulation: Emulation | None = None,
        copy: Array | None = None,
    ):
        super().__init__(params, config)
        self.emulation, self.copy = emulation, copy

    def squared_norm(self, grads: Parameters, start: int, stop: int) -> float:
        """See `AdamW.squared_norm`; CuPy's dot product would multiply into an array of that size first."""
        return Layers(self.emulation).squared_norm(grads.flat[start:stop])

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
        if start == stop:
            return
        part, c, at = slice(start, stop), self.config, start if at is None else at
        numbers = (scale, c.beta1, 1.0 - c.beta1, c.beta2, 1.0 - c.beta2, *self._numbers(lr))
        p, g, m, v = params.flat[part], grads.flat[part], *(x[at : at + stop - start] for x in (self.m, self.v))
        copy = None if self.copy is None else self.copy[part]
        adamw(p, g, m, v, copy, max(self._decayed - start, 0), numbers, self.emulation)
