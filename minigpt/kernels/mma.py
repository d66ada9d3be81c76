"""Attention on tensor cores (rung 4): the launcher of mma_forward.cu and mma_backward.cu, with the signatures of
`minigpt.ops.attention`. bfloat16 and float16 arrays, and float32 ones by TF32; kernels/README.md explains the kernels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigpt.core.backend import Array
from minigpt.core.errors import UserError
from minigpt.kernels.attention import Call, output, prepare, results, strided
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.launch import Module, check_array, module
from minigpt.ops.attention import NO_MASK, Mask
from minigpt.ops.dropout import DropoutKey

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


class MmaCache(NamedTuple):
    call: Call
    y: Array  # (B, T, H, D)
    lse: Array  # (B, H, T) float32: log of the sum of the exponentials of a query's scores, +∞ where there are none


class Mma:
    """Rung 4. Head widths are multiples of 16 up to 128; sums are in float32.

    Attributes:
        emulation: None on a GPU; how to emulate for NumPy arrays.
        atomic_dq: make dQ in the same pass as dK and dV, with atomic additions: 5 products instead of 7, but the
            order of the additions, and so the last bits, differ from run to run.
    """

    def __init__(self, *, emulation: Emulation | None = None, atomic_dq: bool = False):
        self.emulation, self.atomic_dq = emulation, atomic_dq

    @staticmethod
    def problem(dtype: str, head_width: int) -> str | None:
        """Say in one sentence why this rung cannot serve such heads, or return None if it can."""
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
    ) -> tuple[Array, MmaCache]:
        """See `minigpt.ops.attention_forward`.

        Raises:
            UserError: the arrays are of another dtype, or of a head width that the kernel has no tiles for.
            ValueError: they are misaligned: every (row, head) must begin at a multiple of 16 bytes.
        """
        check_call(q, scale)
        call = prepare(q, k, v, mask, scale, dropout, key, align=16 // q.itemsize, dtype=q.dtype)
        xp, (b, t, h, d) = call.xp, q.shape
        tiles = forward_tiles(q.dtype, d)
        y, lse = output(call, out, align=2), xp.empty((b, h, t), np.float32)
        if lse.size:
            self._module("mma_forward.cu", call, tiles).launch(
                "mma_forward",
                (-(-t // tiles.own), h, b),
                (THREADS,),
                (call.problem, *strided(q), *strided(k), *strided(v), call.padding, call.states, *strided(y), lse),
                shared_mem=q.itemsize * d * (tiles.own + 4 * tiles.stream),
            )
        return y, MmaCache(call, y, lse)

    def attention_backward(
        self, dy: Array, cache: MmaCache, *, out: tuple[Array, Array, Array] | None = None
    ) -> tuple[Array, Array, Array]:
        """See `minigpt.ops.attention_backward`; the equations stand in mma_backward.cu."""
        call, y, lse = cache
        xp, q, k, v = call.xp, call.q, call.k, call.v
        dy = aligned(dy, call)
        dq, dk, dv = results(call, out, align=2)
        if not q.size or not k.size:
            for x in (dq, dk, dv):
                x[...] = 0
            return dq, dk, dv
        b, t, h, d = q.shape
        s, groups = k.shape[1:3]
        tiles = backward_tiles(q.dtype, d)
        compiled = self._module("mma_backward.cu", call, tiles)
        delta = xp.empty_like(lse)
        compiled.launch("mma_delta", (-(-t // 4), h, b), (THREADS,), (call.problem, *strided(y), *strided(dy), delta))
        inputs = (call.problem, *strided(q), *strided(k), *strided(v), call.padding, call.states)
        inputs += (*strided(dy), lse, delta)
        shared = q.itemsize * d * 2 * (tiles.own + 2 * tiles.stream)
        dq_sum = xp.zeros((b, h, t, d), np.float32) if self.atomic_dq else None
        extra = 16 * tiles.stream + (q.itemsize * tiles.stream * tiles.own if self.atomic_dq else 0)
        compiled.launch(
            "mma_backward_keys",
            (-(-s // tiles.own), groups, b),
            (THREADS,),
            (*inputs, *strided(dk), *strided(dv), dq_sum),
            shared_mem=shared + extra,
        )
        if dq_sum is not None:
            dq[...] = dq_sum.transpose(0, 2, 1, 3).astype(dq.dtype)
        else:
            compiled.launch(
                "mma_backward_queries",
                (-(-t // tiles.own), h, b),
                (THREADS,),
                (*inputs, *strided(dq)),
                shared_mem=shared,
            )
        return dq, dk, dv


def check_call(q: Array, scale: float | None) -> None:
    """Refuse what the tensor-core kernels cannot do."""
    problem = Mma.problem(q.dtype.name, q.shape[3])
    if problem:
        raise UserError(f"tensor-core attention: {problem}")
    if scale is not None and scale <= 0:
        raise ValueError(f"tensor-core attention takes a positive scale, not {scale}")


def aligned(dy: Array, call: Call) -> Array:
    """dy as the kernels can read it: a copy only if its rows do not begin at multiples of 16 bytes."""
    align = 16 // dy.itemsize
    try:
        check_array("dy", dy, call.xp, call.q.dtype, call.q.shape, align=align)
    except ValueError:
        if dy.shape != call.q.shape:
            raise
        return call.xp.array(dy, order="C")
    return dy
