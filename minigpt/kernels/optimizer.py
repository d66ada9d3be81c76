"""AdamW's launcher: one kernel (adamw.cu) updates weights and moments in one pass."""

from __future__ import annotations

import numpy as np

from minigpt.core.backend import Array, array_module
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.launch import module
from minigpt.kernels.rows import element_define

_THREADS = 256


def adamw(
    flat: Array,
    grads: Array,
    m: Array,
    v: Array,
    copy: Array | None,
    decayed: int,
    numbers: tuple[float, ...],
    emulation: Emulation | None,
) -> None:
    """Update weights, moments and the copy in place.

    Args:
        flat, grads, m, v: (N,) weights, their gradient, the two moments.
        copy: None, or an array of bfloat16 or float16 that receives the first of the new weights.
        decayed: how many of the weights, the first ones, decay applies to.
        numbers: scale of the gradient, β₁, 1 − β₁, β₂, 1 − β₂, rate, ε, keep (see `minigpt.train.optimizer`).
    """
    xp, real = array_module(flat, grads, copy), flat.dtype.type
    sizes = (flat.size, 0 if copy is None else copy.size, decayed)
    args = (flat, grads, m, v, copy, *map(np.int64, sizes), *map(real, numbers))
    defines = {element_define(flat if copy is None else copy): 1}
    compiled = module("adamw.cu", defines, xp, emulation)
    compiled.launch("adamw", (-(-flat.size // _THREADS),), (_THREADS,), args)
