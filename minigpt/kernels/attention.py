"""Attention by CUDA kernels: the launchers of the ladder's fp32 rungs, with the signatures of `minigpt.ops.attention`.

`Flash()` runs on CuPy arrays, `Flash(emulation=Emulation())` on NumPy arrays through the emulator; both go through the
same lines here. kernels/README.md walks the ladder.
"""

from __future__ import annotations

import math
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.backend import Array, array_module
from minigpt.core.errors import UserError
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.launch import MAX_GRID, Module, check_array, module, struct
from minigpt.ops._common import Out
from minigpt.ops.attention import NO_MASK, Mask
from minigpt.ops.dropout import DropoutKey, drop_threshold, dropout_states
from minigpt.ops.operations import Heads

_THREADS = 256  # in a block of every kernel here


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

    @property
    def sizes(self) -> tuple[int, int, int, int, int, int]:
        """B, T, S, H, G, D."""
        (b, t, h, d), (s, g) = self.q.shape, self.k.shape[1:3]
        return b, t, s, h, g, d

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What kernels that go through all of the call are told first."""
        return self.problem, *strided(self.q), *strided(self.k), *strided(self.v), self.padding, self.states


def view(x: Array) -> np.ndarray:
    """struct View of attention.cuh: the batch, row and head strides of a (B, T, H, D) array, in elements."""
    return _view(x.strides[:3], x.itemsize)


@lru_cache(256)  # structs are the same from layer to layer and from step to step, and cost more than a launch
def _view(strides: tuple[int, ...], itemsize: int) -> np.ndarray:
    batch, row, head = (np.int64(stride // itemsize) for stride in strides)
    return struct(batch=batch, row=row, head=head)


@lru_cache(256)
def _problem(sizes: tuple[int, ...], causal: bool, window: int, scale: float | None, dropout: float) -> np.ndarray:
    """struct Problem of attention.cuh; sizes: B, T, S, H, G, D."""
    _, t, s, _, _, d = sizes
    names = ("batch", "queries", "keys", "heads", "groups", "width")
    return struct(
        **dict(zip(names, map(np.int32, sizes), strict=True)),
        causal=np.int32(causal),
        window=np.int32(min(window, t + s)),
        scale=np.float32(1.0 / math.sqrt(d) if scale is None else scale),
        drop_below=np.uint32(drop_threshold(dropout)),
        keep=np.float32(1.0 / (1.0 - dropout)),
    )


def strided(x: Array) -> tuple[Array, np.ndarray]:
    """Two arguments of a kernel: a (B, T, H, D) array and its strides."""
    return x, view(x)


class Rung:
    """What every rung has in common: the signatures of `minigpt.ops.attention`, and that arrays are checked.

    A subclass launches its kernels, forward and backward.

    Attributes:
        emulation: None on a GPU; how to emulate for NumPy arrays.
        reads: bytes of an array that its kernels read at a time.
        writes: numbers of a result that they write at a time.
    """

    reads, writes = 4, 1

    def __init__(self, *, emulation: Emulation | None = None):
        self.emulation = emulation

    @staticmethod
    def problem(dtype: str, head_width: int) -> str | None:
        """Say in one sentence why this rung cannot serve such heads, or return None if it can: here, any in float32."""
        return None if dtype == "float32" else f"it computes in float32, not in {dtype}"

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
        out: Out = None,
    ) -> tuple[Array, Any]:
        """See `minigpt.ops.attention_forward`.

        Raises:
            TypeError, ValueError: arrays are of another dtype, or not aligned to what a kernel reads at a time.
            UserError: the rung does not take such heads.
        """
        dtype, xp = self._dtype(q, scale), array_module(q, k, v, mask.key_padding)
        (b, t, h, d), (s, g) = q.shape, k.shape[1:3]
        if g == 0 or h % g:
            raise ValueError(f"{g} key-value heads cannot serve {h} query heads evenly")
        if b * h > MAX_GRID:
            raise UserError(f"{b} rows of {h} heads are too many for one launch: a grid has at most {MAX_GRID} of them")
        for name, x, shape in (("q", q, (b, t, h, d)), ("k", k, (b, s, g, d)), ("v", v, (b, s, g, d))):
            check_array(name, x, xp, dtype, shape, align=self.reads // q.itemsize)
        padding = mask.key_padding
        if padding is not None:
            padding = xp.ascontiguousarray(padding.astype(bool))
            check_array("key_padding", padding, xp, bool, (b, s), contiguous=True)
        drops = bool(dropout and key is not None)
        problem = _problem((b, t, s, h, g, d), mask.causal, mask.window, scale, dropout if drops else 0.0)
        states = xp.asarray(dropout_states(key, range(b)), dtype=xp.uint64) if drops else None
        y = xp.empty(q.shape, q.dtype) if out is None else out
        check_array("out", y, xp, q.dtype, q.shape, align=self.writes)
        return y, self._forward(Call(q, k, v, padding, states, problem), y)

    def attention_backward(self, dy: Array, cache: Any, *, out: Heads | None = None) -> Heads:
        """See `minigpt.ops.attention_backward`."""
        call: Call = cache.call
        dy, inputs = self._gradient(dy, call), (call.q, call.k, call.v)
        dq, dk, dv = (call.xp.empty(x.shape, x.dtype) for x in inputs) if out is None else out
        for name, x, like in zip(("dq", "dk", "dv"), (dq, dk, dv), inputs, strict=True):
            check_array(name, x, call.xp, like.dtype, like.shape, align=self.writes)
        self._backward(dy, cache, dq, dk, dv)
        return dq, dk, dv

    def _dtype(self, q: Array, scale: float | None) -> Any:
        """What arrays must be."""
        return np.float32

    def _gradient(self, dy: Array, call: Call) -> Array:
        """dy as the kernels can read it."""
        check_array("dy", dy, call.xp, call.q.dtype, call.q.shape, align=self.reads // dy.itemsize)
        return dy

    def _forward(self, call: Call, y: Array) -> Any:
        """Fill y; what the backward pass needs, `call` among it."""
        raise NotImplementedError

    def _backward(self, dy: Array, cache: Any, dq: Array, dk: Array, dv: Array) -> None:
        """Fill dq, dk and dv."""
        raise NotImplementedError


class ScoresCache(NamedTuple):
    call: Call
    probabilities: Array  # (B, H, T, S)


class _WithScores(Rung):
    """What rungs 1 and 2 share: the same kernels under another name, with T × S probabilities in memory; any D."""

    name: str  # of the file, and in front of the kernels' names
    tile: tuple[int, int]  # rows and columns of a result that a block computes
    rows: int  # rows that a block takes in the softmax
    block: tuple[int, ...]
    shared: int  # bytes of shared memory that a product takes

    def _launcher(self, call: Call) -> Any:
        compiled = module(f"{self.name}.cu", {}, call.xp, self.emulation)
        b, t, _, h, _, _ = call.sizes

        def launch(kernel: str, rows: int, columns: int, heads: int, *args: Any) -> None:
            """A kernel that computes (heads, rows, columns) numbers."""
            grid = (-(-columns // self.tile[1]), -(-rows // self.tile[0]), heads)
            args = (call.problem, *args)
            compiled.launch(f"{self.name}_{kernel}", grid, self.block, args, shared_mem=self.shared)

        def launch_rows(kernel: str, *args: Any) -> None:
            """A kernel that works on whole rows of the T × S matrices."""
            compiled.launch(f"{self.name}_{kernel}", (-(-t // self.rows), b * h), (_THREADS,), (call.problem, *args))

        return launch, launch_rows

    def _forward(self, call: Call, y: Array) -> ScoresCache:
        launch, launch_rows = self._launcher(call)
        b, t, s, h, _, d = call.sizes
        p = call.xp.empty((b, h, t, s), y.dtype)
        launch("scores", t, s, b * h, *strided(call.q), *strided(call.k), call.padding, p)
        launch_rows("softmax", p)
        launch("output", t, d, b * h, p, *strided(call.v), call.states, *strided(y))
        return ScoresCache(call, p)

    def _backward(self, dy: Array, cache: ScoresCache, dq: Array, dk: Array, dv: Array) -> None:
        """The lines of `minigpt.ops.attention_backward`."""
        call, p = cache
        launch, launch_rows = self._launcher(call)
        b, t, s, h, g, d = call.sizes
        dz = call.xp.empty(p.shape, p.dtype)
        launch("dv", s, d, b * g, p, *strided(dy), call.states, *strided(dv))
        launch("dprobabilities", t, s, b * h, *strided(dy), *strided(call.v), call.states, dz)
        launch_rows("softmax_backward", p, dz)
        launch("dq", t, d, b * h, dz, *strided(call.k), *strided(dq))
        launch("dk", s, d, b * g, dz, *strided(call.q), *strided(dk))


class Naive(_WithScores):
    """Rung 1, naive.cu: one thread for one number."""

    name, tile, rows, block, shared = "naive", (8, 32), _THREADS, (32, 8), 0


class Tiled(_WithScores):
    """Rung 2, tiled.cu: tiles in shared memory, one warp for a row of the softmax."""

    name, tile, rows, block, shared = "tiled", (64, 64), _THREADS // 32, (_THREADS,), 4 * 2 * 16 * (64 + 4)


class FlashCache(NamedTuple):
    call: Call
    y: Array  # (B, T, H, D)
    lse: Array  # (B, H, T) float32: log of the sum of the exponentials of a query's scores, +∞ where there are none


class Flash(Rung):
    """Rung 3, flash.cu: online softmax, no T × S scores in memory; fp32, D a multiple of 8 up to 128.

    Args:
        deterministic: sum dQ in a fixed order, with a pass of its own; otherwise with atomics, in whatever order.
        tile: queries and keys in a tile (a multiple of 16); by default what fits the shared memory of every GPU.
    """

    reads = 16

    def __init__(self, *, emulation: Emulation | None = None, deterministic: bool = True, tile: int | None = None):
        super().__init__(emulation=emulation)
        self.deterministic, self.tile = deterministic, tile

    @staticmethod
    def problem(dtype: str, head_width: int) -> str | None:
        if head_width % 8 or not 8 <= head_width <= 128:
            return f"it takes heads of 8 to 128 numbers, in multiples of 8, not of {head_width}"
        return Rung.problem(dtype, head_width)

    def _launcher(self, call: Call) -> tuple[Module, int, int]:
        """The compiled source, the height of a tile, and the bytes of a (tile, D) tile in shared memory."""
        d = call.q.shape[3]
        if problem := self.problem("float32", d):
            raise UserError(f"flash attention cannot run: {problem}")
        tile = self.tile or (64 if d <= 64 else 32)
        compiled = module("flash.cu", {"HEAD_DIM": d, "BR": tile, "BC": tile}, call.xp, self.emulation)
        return compiled, tile, 4 * tile * (-(-d // 16) * 16 + 4)

    def _forward(self, call: Call, y: Array) -> FlashCache:
        compiled, tile, size = self._launcher(call)
        b, t, _, h, _, _ = call.sizes
        lse = call.xp.empty((b, h, t), y.dtype)
        args, shared = (*call.inputs, *strided(y), lse), 3 * size + 4 * tile * (tile + 4)
        compiled.launch("flash_forward", (-(-t // tile), b * h), (_THREADS,), args, shared_mem=shared)
        return FlashCache(call, y, lse)

    def _backward(self, dy: Array, cache: FlashCache, dq: Array, dk: Array, dv: Array) -> None:
        """The probabilities are computed again, tile by tile."""
        call, y, lse = cache
        compiled, tile, size = self._launcher(call)
        b, t, s, h, g, _ = call.sizes
        delta = call.xp.empty(lse.shape, lse.dtype)
        grid = (-(-t // (_THREADS // 32)), b * h)
        compiled.launch("flash_delta", grid, (_THREADS,), (call.problem, *strided(y), *strided(dy), delta))
        inputs = (*call.inputs, *strided(dy), lse, delta)
        shared = 4 * size + 4 * tile * (tile + 4)
        if not self.deterministic:
            dq[...] = 0
        atomic_dq = (None if self.deterministic else dq, view(dq))
        args = (*inputs, *atomic_dq, *strided(dk), *strided(dv))
        compiled.launch("flash_backward_keys", (-(-s // tile), b * g), (_THREADS,), args, shared_mem=shared)
        if self.deterministic:
            args = (*inputs, *strided(dq))
            compiled.launch("flash_backward_queries", (-(-t // tile), b * h), (_THREADS,), args, shared_mem=shared)
