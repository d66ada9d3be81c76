"""AdamW by one fused kernel (adamw.cu): the same state and numbers as `minigpt.train.optimizer.AdamW`, one pass."""

from __future__ import annotations

import numpy as np

from minigpt.core.backend import Array, array_module
from minigpt.core.params import Parameters
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.fused import element_define
from minigpt.kernels.launch import module
from minigpt.train.config import OptimizerConfig
from minigpt.train.optimizer import AdamW, EachSlice, one_slice

_THREADS = 256


class FusedAdamW(AdamW):
    """AdamW in all four variants, on a GPU or emulated.

    Attributes:
        copy: None, or an array of bfloat16 or float16 that receives the first of the new weights (those that weight
            decay applies to come first, so for a model it is the matrices).
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

    def step(
        self, params: Parameters, grads: Parameters, lr: float, *, scale: float = 1.0, each_slice: EachSlice = one_slice
    ) -> None:
        """See `AdamW.step`; the gradient is not overwritten, and one launch serves all slices."""
        self.updates += 1
        flat, c = params.flat, self.config
        xp, real = array_module(flat, grads.flat, self.copy), flat.dtype.type
        rate, eps, keep = self._numbers(lr)
        decayed, copied = self._decayed, 0 if self.copy is None else self.copy.size
        numbers = (scale, c.beta1, 1.0 - c.beta1, c.beta2, 1.0 - c.beta2, rate, eps, keep)
        sizes = (flat.size, copied, decayed)
        args = (flat, grads.flat, self.m, self.v, self.copy, *map(np.int64, sizes), *map(real, numbers))
        defines = {element_define(flat if self.copy is None else self.copy): 1}
        compiled = module("adamw.cu", defines, xp, self.emulation)
        compiled.launch("adamw", (-(-flat.size // _THREADS),), (_THREADS,), args)
