"""Attention by CUDA kernels: the launchers of the ladder's rungs, with the signatures of `minigpt.ops.attention`.

`Attention("flash")` runs on CuPy arrays, `Attention("flash", emulation=Emulation())` on NumPy arrays through the
emulator; both go through the same lines here. kernels/README.md walks the ladder.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minigpt.backend import Array, array_module
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.launch import Module, check_array, module, struct
from minigpt.ops.attention import NO_MASK, Mask
from minigpt.ops.dropout import DropoutKey, drop_threshold, dropout_states

FLASH_THREADS = 256


class Call(NamedTuple):
    """What the kernels of one attention call are told, and what its backward pass needs."""

    q: Array  # (B, T, H, D)
    k: Array  # (B, S, G, D)
    v: Array  # (B, S, G, D)
    padding: Array | None  # (B, S) bool
    states: Array | None  # (B,) uint64, where dropout's generator starts for each row
    problem: np.ndarray  # struct Problem of attention.cuh

    @property
    def xp(self) -> ModuleType:
        return array_module(self.q)


class FlashCache(NamedTuple):
    call: Call
    y: Array  # (B, T, H, D)
    lse: Array  # (B, H, T), log of the sum of the exponentials of a query's scores


def view(x: Array) -> np.ndarray:
    """struct View of attention.cuh: the batch, row and head strides of a (B, T, H, D) array, in elements."""
    batch, row, head = (np.int64(stride // x.itemsize) for stride in x.strides[:3])
    return struct(batch=batch, row=row, head=head)


def prepare(
    q: Array,
    k: Array,
    v: Array,
    mask: Mask,
    scale: float | None,
    dropout: float,
    key: DropoutKey | None,
    align: int,
    dtype: Any = np.float32,
) -> Call:
    """Check the arrays of a call and fill in its struct Problem.

    Args:
        align: how many elements the kernel loads at a time.
    """
    xp = array_module(q, k, v, mask.key_padding)
    (b, t, h, d), (s, g) = q.shape, k.shape[1:3]
    if h % g:
        raise ValueError(f"{g} key-value heads cannot serve {h} query heads evenly")
    for name, x, shape in (("q", q, (b, t, h, d)), ("k", k, (b, s, g, d)), ("v", v, (b, s, g, d))):
        check_array(name, x, xp, dtype, shape, align=align)
    padding = mask.key_padding
    if padding is not None:
        padding = xp.ascontiguousarray(padding.astype(bool))
        check_array("key_padding", padding, xp, bool, (b, s), contiguous=True)
    dropped = bool(dropout and key is not None)
    problem = struct(
        **{name: np.int32(n) for name, n in dict(batch=b, queries=t, keys=s, heads=h, groups=g).items()},
        causal=np.int32(mask.causal),
        window=np.int32(min(mask.window, t + s)),
        scale=np.float32(1.0 / math.sqrt(d) if scale is None else scale),
        drop_below=np.uint32(drop_threshold(dropout) if dropped else 0),
        keep=np.float32(1.0 / (1.0 - dropout) if dropped else 1.0),
    )
    states = xp.asarray(dropout_states(key, b), dtype=xp.uint64) if dropped else None
    return Call(q, k, v, padding, states, problem)


class Flash:
    """Rung 3, flash.cu: online softmax, no T × S scores in memory; fp32, head widths in multiples of 8 up to 128."""

    def __init__(self, *, emulation: Emulation | None = None, tile: int | None = None):
        self.emulation, self.tile = emulation, tile

    def _module(self, call: Call) -> tuple[Module, int, int]:
        """The compiled source for this head width, its tile, and the row stride of a tile in shared memory."""
        d = call.q.shape[3]
        if d % 8 or not 8 <= d <= 128:
            raise ValueError(f"flash attention takes head widths that are multiples of 8 up to 128, not {d}")
        tile = self.tile or (64 if d <= 64 else 32)
        defines = {"HEAD_DIM": d, "BR": tile, "BC": tile}
        return module("flash.cu", defines, call.xp, self.emulation), tile, -(-d // 16) * 16 + 4

    def attention_forward(
        self,
        q: Array,
        k: Array,
        v: Array,
        *,
        mask: Mask = NO_MASK,
        scale: float | None = None,
        dropout: float = 0.0,
        key: DropoutKey | None = None,
        out: Array | None = None,
    ) -> tuple[Array, FlashCache]:
        """See `minigpt.ops.attention_forward`."""
        call = prepare(q, k, v, mask, scale, dropout, key, align=4)
        compiled, tile, stride = self._module(call)
        b, t, h, _ = q.shape
        y = call.xp.empty(q.shape, q.dtype) if out is None else out
        check_array("out", y, call.xp, q.dtype, q.shape)
        lse = call.xp.empty((b, h, t), q.dtype)
        if lse.size:
            compiled.launch(
                "flash_forward",
                (-(-t // tile), b * h),
                (FLASH_THREADS,),
                (call.problem, q, view(q), k, view(k), v, view(v), call.padding, call.states, y, view(y), lse),
                shared_mem=4 * (3 * tile * stride + tile * (tile + 4)),
            )
        return y, FlashCache(call, y, lse)
