"""Layers by fused kernels: norms, linear layers, dropout and activations, with the signatures of `minigpt.ops`."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.backend import Array, array_module
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.launch import Module, check_array, module
from minigpt.kernels.rows import Cut, as_matrix, as_real, cut, cut_row, element_define, pack_of, real_type
from minigpt.ops._common import Out, add_product, deliver, product, rows
from minigpt.ops.dropout import DropoutKey, drop_threshold, dropout_states
from minigpt.ops.linear import LinearCache
from minigpt.ops.operations import Sum

_THREADS = 256
_WIDEST = 65536  # bytes of a row, in the precision that it is computed in: more than that spills registers
_NORM_BLOCKS = 1024  # that share the rows of a norm's backward pass; each leaves a part of the gain's gradient


class NormCache(NamedTuple):
    x: Array  # (N, C) as it came in
    mean: Array | None  # (N,); None for RMSNorm
    inverse: Array  # (N,) 1/σ
    gain: Array  # (C,)
    shape: tuple[int, ...]


class ActivationCache(NamedTuple):
    x: Array
    bias: Array | None = None  # GELU was of x + bias


class DropoutCache(NamedTuple):
    """What names the draws again; `states` is None where nothing was dropped."""

    states: Array | None  # (B,) uint64
    first: int  # entry of its row that x begins with
    rate: float


_NOTHING = DropoutCache(None, 0, 0.0)  # is dropped


class Layers:
    """See `minigpt.kernels.fused.Operations`."""

    def __init__(self, emulation: Emulation | None):
        self.emulation = emulation

    @property
    def FUSED(self) -> dict[str, Any]:
        """Operations that follow one another, in one kernel; each is the plain ones in a row."""
        return {
            "bias_gelu_tanh": (partial(self._bias_gelu, "gelu_tanh"), partial(self._bias_gelu_backward, "gelu_tanh")),
            "bias_gelu_erf": (partial(self._bias_gelu, "gelu_erf"), partial(self._bias_gelu_backward, "gelu_erf")),
            "sum": self._sum,
            "settled_sum": self._settled_sum,
            "layernorm_sum": partial(self._norm_sum, "layernorm"),
            "rmsnorm_sum": partial(self._norm_sum, "rmsnorm"),
            "norm_backward_add": self._norm_backward,
        }

    def _module(self, file: str, x: Array, **defines: int) -> Module:
        return module(file, {element_define(x): 1, **defines}, array_module(x), self.emulation)

    def _by_columns(self, file: str, name: str, where: Cut, like: Array, args: tuple[Any, ...]) -> None:
        self._module(file, like, PACK=where.pack).launch(name, where.grid, (where.threads, 1), args)

    def _add_sums(self, sums: Array, first: Array, second: Array | None, like: Array) -> None:
        """Add the sums over partial (parts, …) to `first` and `second`, (C,) each."""
        c, real = first.size, real_type(like)
        for which, x in (("a gradient", first), ("dbias", second)):
            if x is not None:
                check_array(which, x, array_module(like), real, (c,), contiguous=True)
        stride = np.int32(sums[0].size)
        args = (sums, first, second, np.int32(len(sums)), stride, np.int32(c))
        blocks = -(-c * (1 if second is None else 2) // 32)
        self._module("columns.cu", like, PACK=1).launch("add_sums", (blocks,), (32, 8), args)

    def add_column_sums(self, x: Array, total: Array) -> None:
        """total (C,) += Σ_n x_n, of x (N, C)."""
        if not x.size:
            return
        n, c = x.shape
        where = cut(n, c, pack_of(c, x), summed=True)
        sums = array_module(x).empty((where.parts, c), real_type(x))
        self._by_columns("columns.cu", "column_sums", where, x, (x, sums, np.int64(n), np.int32(c)))
        self._add_sums(sums, total, None, x)

    def squared_norm(self, x: Array) -> float:
        """Σ x² of (N,) numbers in a fixed order: parts of them in their own precision, and those in float64."""
        blocks = max(1, min(1024, x.size // 4096))
        sums = array_module(x).empty(blocks, x.dtype)
        self._module("columns.cu", x, PACK=1).launch("squares", (blocks,), (_THREADS,), (x, sums, np.int64(x.size)))
        return float(sums.sum(dtype=np.float64))

    # ---- norms ------------------------------------------------------------------------------------------------------

    def layernorm_forward(
        self, x: Array, gain: Array, bias: Array | None = None, *, eps: float = 1e-5, out: Out = None
    ) -> tuple[Array, NormCache]:
        """See `minigpt.ops.layernorm_forward`."""
        y, cache = self._norm("layernorm", "layernorm_forward", x, (), gain, bias, eps)
        return deliver(y, out), cache

    def rmsnorm_forward(self, x: Array, gain: Array, *, eps: float = 1e-6, out: Out = None) -> tuple[Array, NormCache]:
        """See `minigpt.ops.rmsnorm_forward`."""
        y, cache = self._norm("rmsnorm", "rmsnorm_forward", x, (), gain, None, eps)
        return deliver(y, out), cache

    def _norm_sum(
        self, name: str, s: Sum, gain: Array, bias: Array | None = None, *, eps: float
    ) -> tuple[Array, Array, NormCache]:
        """The sum (written over s.x), its norm, and the norm's cache: one kernel for `_settled_sum` and the norm."""
        x, (b, residual, states, *numbers) = as_matrix(s.x), self._sum_arguments(s)
        y, cache = self._norm(name, f"{name}_sum_forward", s.x, (b, residual, states, x, *numbers), gain, bias, eps)
        return cache.x.reshape(s.x.shape), y, cache

    def _norm(
        self, name: str, kernel: str, x: Array, more: tuple[Any, ...], gain: Array, bias: Array | None, eps: float
    ) -> tuple[Array, NormCache]:
        """Launch a norm's kernel, which takes `more` behind x."""
        xp, real, flat = array_module(x, gain, bias), real_type(x), as_matrix(x)
        n, c = flat.shape
        if (widest := _WIDEST // np.dtype(real).itemsize) < c:
            raise ValueError(f"the norm kernels take up to {widest} features, not {c}")
        gain, bias = as_real(gain, real), None if bias is None else as_real(bias, real)
        y = xp.empty_like(flat)
        mean, inverse = xp.empty(n, real) if name == "layernorm" else None, xp.empty(n, real)
        if n:
            weights, sums = ((gain,), (inverse,)) if mean is None else ((gain, bias), (mean, inverse))
            args = (flat, *more, *weights, y, *sums, np.int32(c), real(eps))
            pack = pack_of(c, flat, *more[1:2])
            threads, packs = cut_row(c, pack)
            self._module("norm.cu", x, PACK=pack, PACKS=packs).launch(kernel, (n,), (threads,), args)
        return y.reshape(x.shape), NormCache(flat, mean, inverse, gain, x.shape)

    def _norm_backward(
        self, dy: Array, cache: NormCache, dgain: Array, dbias: Array | None = None, plus: Array | None = None
    ) -> Array:
        """plus + dx of either norm; the sums over rows have one fixed order."""
        x, mean, inverse, gain, shape = cache
        xp, real, dy = array_module(dy, x), real_type(x), as_matrix(dy)
        plus = None if plus is None else as_matrix(plus)
        n, c = x.shape
        dx = xp.empty_like(x)
        if n:
            name, sums = ("rmsnorm", (inverse,)) if mean is None else ("layernorm", (mean, inverse))
            blocks, pack = max(1, min(_NORM_BLOCKS, n // 8)), pack_of(c, x, dy, plus)
            threads, packs = cut_row(c, pack)
            parts = xp.empty((blocks, 2, c), real)
            args = (dy, x, gain, *sums, plus, dx, parts, np.int64(n), np.int32(c))
            self._module("norm.cu", x, PACK=pack, PACKS=packs).launch(f"{name}_backward", (blocks,), (threads,), args)
            self._add_sums(parts, dgain, dbias, x)
        return dx.reshape(shape)

    def layernorm_backward(
        self, dy: Array, cache: NormCache, dgain: Array, dbias: Array | None = None, *, out: Out = None
    ) -> Array:
        """See `minigpt.ops.layernorm_backward`."""
        return deliver(self._norm_backward(dy, cache, dgain, dbias), out)

    def rmsnorm_backward(self, dy: Array, cache: NormCache, dgain: Array, *, out: Out = None) -> Array:
        """See `minigpt.ops.rmsnorm_backward`."""
        return deliver(self._norm_backward(dy, cache, dgain), out)

    # ---- linear layers ----------------------------------------------------------------------------------------------

    def linear_forward(
        self, x: Array, weight: Array, bias: Array | None = None, *, out: Out = None
    ) -> tuple[Array, LinearCache]:
        """See `minigpt.ops.linear_forward`; the bias is added where the product lies."""
        y = product(rows(x), weight).astype(x.dtype, copy=False)
        if bias is not None:
            self._add_up(Sum(y, bias, None, _NOTHING), y)
        return deliver(y.reshape(*x.shape[:-1], weight.shape[1]), out), LinearCache(x, weight)

    def linear_backward(
        self,
        dy: Array,
        cache: LinearCache,
        dweight: Array,
        dbias: Array | None = None,
        *,
        first: bool = False,
        out: Out = None,
    ) -> Array:
        """See `minigpt.ops.linear_backward`; db in two stages of a fixed order."""
        x, weight = cache
        dy_rows = as_matrix(dy)
        add_product(dweight, rows(x), dy_rows, first)
        if dbias is not None:
            self.add_column_sums(dy_rows, dbias)
        dx = product(dy_rows, weight.T).astype(dy.dtype, copy=False)
        return deliver(dx.reshape(x.shape), out)

    # ---- dropout ----------------------------------------------------------------------------------------------------

    def _sum_arguments(self, s: Sum) -> tuple[Any, ...]:
        """What a kernel is told of a sum: bias, residual, states, and numbers (struct Residual in residual.cuh)."""
        states, first, rate = s.dropout
        real, size = real_type(s.x), s.x.size
        entries = size if states is None else size // len(states)
        numbers = np.int64(entries), np.int64(first), np.uint32(drop_threshold(rate)), real(1.0 / (1.0 - rate))
        bias = None if s.bias is None else as_real(s.bias, real)
        return bias, None if s.onto is None else as_matrix(s.onto), states, *numbers

    def _add_up(self, s: Sum, y: Array) -> None:
        """y = the sum."""
        if not s.x.size:
            return
        flat, (bias, residual, states, *numbers) = as_matrix(s.x), self._sum_arguments(s)
        n, c = flat.shape
        where = cut(n, c, pack_of(c, flat, residual, y), summed=False)
        args = (flat, bias, residual, states, y, np.int64(n), np.int32(c), *numbers)
        self._by_columns("dropout.cu", "dropout", where, flat, args)

    def _drawn(self, x: Array, rate: float, key: DropoutKey | None) -> DropoutCache:
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"dropout rate {rate} is not in [0, 1)")
        if rate == 0.0 or key is None or not x.size:
            return _NOTHING
        states = array_module(x).asarray(np.array(dropout_states(key, range(len(x))), np.uint64))
        return DropoutCache(states, key.position * (x[0].size // x.shape[1]) if key.position else 0, rate)

    def dropout_forward(
        self, x: Array, rate: float, key: DropoutKey | None, *, out: Out = None
    ) -> tuple[Array, DropoutCache]:
        """See `minigpt.ops.dropout_forward`; no multipliers are kept."""
        cache = self._drawn(x, rate, key)
        return self.dropout_backward(x, cache, out=out), cache

    def dropout_backward(self, dy: Array, cache: DropoutCache, *, out: Out = None) -> Array:
        """See `minigpt.ops.dropout_backward`; the draws are made again."""
        if cache.states is None:
            return deliver(dy, out)
        dx = array_module(dy).empty(dy.shape, dy.dtype)
        self._add_up(Sum(dy, None, None, cache), dx)
        return deliver(dx, out)

    def _sum(
        self, x: Array, bias: Array | None, onto: Array | None, rate: float, key: DropoutKey | None
    ) -> tuple[Sum, DropoutCache]:
        """onto + dropout(x + bias), to be worked out later, and the cache for `dropout_backward`."""
        cache = self._drawn(x, rate, key)
        return Sum(x, bias, onto, cache), cache

    def _settled_sum(self, s: Sum) -> Array:
        """The sum, written over s.x."""
        if s.bias is not None or s.onto is not None or s.dropout.states is not None:
            self._add_up(s, s.x)
        return s.x

    # ---- activations ------------------------------------------------------------------------------------------------

    def _elementwise(self, name: str, like: Array, arrays: tuple[Array | None, ...], width: int, summed: bool) -> Any:
        """Launch a kernel of activation.cu on arrays of `like`'s shape, cut into rows; the result, and column sums."""
        xp = array_module(like)
        y = xp.empty(like.shape, like.dtype)
        if not y.size:
            return y, None
        n = y.size // width
        whole = tuple(x for x in arrays if x is not None and x.size == y.size)
        where = cut(n, width, pack_of(width, *whole), summed=summed)
        sums = xp.empty((where.parts, width), real_type(like)) if summed else None
        more = (sums,) if name.endswith("backward") else ()
        self._by_columns("activation.cu", name, where, like, (*arrays, y, *more, np.int64(n), np.int32(width)))
        return y, sums

    def _pointwise(self, name: str, like: Array, *inputs: Array) -> Array:
        xp = array_module(*inputs)
        arrays = *(xp.ascontiguousarray(x) for x in inputs), None  # no bias
        return self._elementwise(name, like, arrays, _row_of(like), False)[0]

    def _bias_gelu(self, name: str, x: Array, bias: Array) -> tuple[Array, ActivationCache]:
        """GELU(x + b)."""
        bias = as_real(bias, real_type(x))
        return self._elementwise(f"{name}_forward", x, (x, bias), bias.size, False)[0], ActivationCache(x, bias)

    def _bias_gelu_backward(self, name: str, dy: Array, cache: ActivationCache, dbias: Array) -> Array:
        """dx, and Σ_n dx added to dbias (C,)."""
        x, bias = cache
        dx, sums = self._elementwise(f"{name}_backward", x, (as_matrix(dy), x, bias), dbias.size, True)
        if sums is not None:
            self._add_sums(sums, dbias, None, x)
        return dx

    def gelu_tanh_forward(self, x: Array, *, out: Out = None) -> tuple[Array, ActivationCache]:
        """See `minigpt.ops.gelu_tanh_forward`."""
        return deliver(self._pointwise("gelu_tanh_forward", x, x), out), ActivationCache(x)

    def gelu_tanh_backward(self, dy: Array, cache: ActivationCache, *, out: Out = None) -> Array:
        """See `minigpt.ops.gelu_tanh_backward`."""
        return deliver(self._pointwise("gelu_tanh_backward", cache.x, dy, cache.x), out)

    def gelu_erf_forward(self, x: Array, *, out: Out = None) -> tuple[Array, ActivationCache]:
        """See `minigpt.ops.gelu_erf_forward`."""
        return deliver(self._pointwise("gelu_erf_forward", x, x), out), ActivationCache(x)

    def gelu_erf_backward(self, dy: Array, cache: ActivationCache, *, out: Out = None) -> Array:
        """See `minigpt.ops.gelu_erf_backward`."""
        return deliver(self._pointwise("gelu_erf_backward", cache.x, dy, cache.x), out)


def _row_of(x: Array) -> int:
    """A width by which x can be cut into rows, for operations to which rows mean nothing."""
    return x.shape[-1] if x.ndim and x.shape[-1] else 1
