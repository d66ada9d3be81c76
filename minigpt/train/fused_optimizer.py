"""AdamW by one fused kernel: the same state and numbers as `AdamW`, one pass over them."""

from __future__ import annotations

from minigpt.core.backend import Array
from minigpt.core.params import Parameters
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.layers import Layers
from minigpt.kernels.optimizer import adamw
from minigpt.train.optimizer import AdamW, OptimizerConfig, Part


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

    def squared_norm(self, flat: Array, start: int, stop: int) -> float:
        """See `AdamW.squared_norm`; CuPy's dot product would multiply into an array of that size first."""
        return Layers(self.emulation).squared_norm(flat[start:stop])

    def _update(self, part: Part, scale: float, rate: float, eps: float, keep: float) -> None:
        """The gradient is not overwritten."""
        c = self.config
        numbers = (scale, c.beta1, 1.0 - c.beta1, c.beta2, 1.0 - c.beta2, rate, eps, keep)
        adamw(part.p, part.g, part.m, part.v, part.copy, part.decayed, numbers, self.emulation)
