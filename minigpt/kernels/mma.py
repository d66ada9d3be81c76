"""Attention on tensor cores (rung 4): the launcher of mma_forward.cu and mma_backward.cu, with the signatures of
`minigpt.ops.attention`. bfloat16 and float16 arrays, and float32 ones by TF32; kernels/README.md explains the kernels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigpt.core.backend import Array
from minigpt.core.errors import UserError
from minigpt.kernels.attention import Call, FlashCache, Rung, strided
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.launch import Module, module

THREADS = 128  # 4 warps
ELEMENTS = {"bfloat16": "ELEMENT_BFLOAT16", "float16": "ELEMENT_FLOAT16", "float32": "ELEMENT_FLOAT32"}


class Tiles(NamedTuple):
    """How a kernel is cut: a block owns 64 · fragments rows, and tiles of `stream` rows pass by."""

    fragments: int
    stream: int

    @property
    def own(self) -> int:
        return 64 * self.fragments


def forward_tiles(dtype: Any, d: int) -> Tiles:
    """What fits registers and 99 kB of shared memory (an RTX 3090's or 4090's block) without spilling."""
    if np.dtype(dtype).itemsize == 2:
        return Tiles(2, 64) if d <= 64 else Tiles(1, 64)
    return Tiles(2, 32) if d <= 64 else Tiles(1, 32)


def backward_tiles(dtype: Any, d: int) -> Tiles:
    if np.dtype(dtype).itemsize == 2:
        # 32 rows a warp: for every product each warp loads all that passes by, so more rows of its own are fewer loads
        return Tiles(2, 32) if d <= 64 else Tiles(1, 32)
    return Tiles(1, 32) if d <= 96 else Tiles(1, 16)


class Mma(Rung):
    """Rung 4. Head widths are multiples of 16 up to 128; sums are in float32.

    Attributes:
        atomic_dq: make dQ in the same pass as dK and dV, with atomic additions: 5 products instead of 7, but the
            order of the additions, and so the last bits, differ from run to run.
    """

    reads, writes = 16, 2

    def __init__(self, *, emulation: Emulation | None = None, atomic_dq: bool = False):
        super().__init__(emulation=emulation)
        self.atomic_dq = atomic_dq

    @staticmethod
    def problem(dtype: str, head_width: int) -> str | None:
        if head_width % 16 or not 16 <= head_width <= 128:
            return f"it takes heads of 16 to 128 numbers, in multiples of 16, not of {head_width}"
        return None if dtype in ELEMENTS else f"it computes in {', '.join(ELEMENTS)}, not in {dtype}"

    def _module(self, file: str, call: Call, tiles: Tiles) -> Module:
        defines = {
            "HEAD_DIM": call.q.shape[3],
            ELEMENTS[call.q.dtype.name]: 1,
            "FRAGMENTS": tiles.fragments,
            "STREAM": tiles.stream,
            "DROPOUT": int(call.states is not None),
        }
        if self.atomic_dq and file == "mma_backward.cu":
            defines["ATOMIC_DQ"] = 1
        return module(file, defines, call.xp, self.emulation)

    def _dtype(self, q: Array, scale: float | None) -> Any:
        if problem := self.problem(q.dtype.name, q.shape[3]):
            raise UserError(f"tensor-core attention: {problem}")
        if scale is not None and scale <= 0:
            raise ValueError(f"tensor-core attention takes a positive scale, not {scale}")
        return q.dtype

    def _gradient(self, dy: Array, call: Call) -> Array:
        """A copy only if its rows do not begin at multiples of 16 bytes."""
        try:
            return super()._gradient(dy, call)
        except ValueError:
            if dy.shape != call.q.shape:
                raise
            return call.xp.array(dy, order="C")

    def _forward(self, call: Call, y: Array) -> FlashCache:
        b, t, _, h, _, d = call.sizes
        tiles = forward_tiles(y.dtype, d)
        lse = call.xp.empty((b, h, t), np.float32)
        if lse.size:
            grid, shared = (-(-t // tiles.own), h, b), y.itemsize * d * (tiles.own + 4 * tiles.stream)
            compiled, args = self._module("mma_forward.cu", call, tiles), (*call.inputs, *strided(y), lse)
            compiled.launch("mma_forward", grid, (THREADS,), args, shared_mem=shared)
        return FlashCache(call, y, lse)

    def _backward(self, dy: Array, cache: FlashCache, dq: Array, dk: Array, dv: Array) -> None:
        """The equations stand in mma_backward.cu."""
        call, y, lse = cache
        if not call.q.size or not call.k.size:
            for x in (dq, dk, dv):
                x[...] = 0
            return
        b, t, s, h, groups, d = call.sizes
        tiles = backward_tiles(y.dtype, d)
        compiled = self._module("mma_backward.cu", call, tiles)
        delta = call.xp.empty_like(lse)
        compiled.launch("mma_delta", (-(-t // 4), h, b), (THREADS,), (call.problem, *strided(y), *strided(dy), delta))
        inputs = (*call.inputs, *strided(dy), lse, delta)
        shared = y.itemsize * d * 2 * (tiles.own + 2 * tiles.stream)
        dq_sum = call.xp.zeros((b, h, t, d), np.float32) if self.atomic_dq else None
        extra = 16 * tiles.stream + (y.itemsize * tiles.stream * tiles.own if self.atomic_dq else 0)
        args, grid = (*inputs, *strided(dk), *strided(dv), dq_sum), (-(-s // tiles.own), groups, b)
        compiled.launch("mma_backward_keys", grid, (THREADS,), args, shared_mem=shared + extra)
        if dq_sum is not None:
            dq[...] = dq_sum.transpose(0, 2, 1, 3).astype(dq.dtype)
        else:
            args, grid = (*inputs, *strided(dq)), (-(-t // tiles.own), h, b)
            compiled.launch("mma_backward_queries", grid, (THREADS,), args, shared_mem=shared)
