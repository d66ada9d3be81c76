"""The operations of `minigpt.ops` by fused kernels: same names, same signatures, held to the same table.

`Operations()` works on CuPy arrays; `Operations(emulation=Emulation())` on NumPy arrays, through the emulator and the
same lines. LayerNorm, RMSNorm, GELU, cross-entropy and the embedding's gradient are kernels; what is a matrix product
or a single array operation anyway is the plain version, and so is what no kernel was written for.

Arrays are float64, float32, bfloat16 or float16. Gains, biases and gradients of parameters are float64 for float64
arrays and float32 for all others.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from minigpt import ops
from minigpt.core.backend import Array, array_module
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.launch import Module, check_array, module
from minigpt.ops._common import deliver, rows
from minigpt.ops.losses import count_targets

_ELEMENTS = {
    "float64": "ELEMENT_FLOAT64",
    "float32": "ELEMENT_FLOAT32",
    "bfloat16": "ELEMENT_BFLOAT16",
    "float16": "ELEMENT_FLOAT16",
}
_THREADS = 256
_WIDEST = 6144  # features of a row that two float32 copies of fit 48 kB of shared memory
_PARTS = 64  # into how many parts the rows of a norm's parameter gradients are cut, at most


class NormCache(NamedTuple):
    x: Array  # (N, C) as it came in
    mean: Array | None  # (N,); None for RMSNorm
    inverse: Array  # (N,) 1/σ
    gain: Array  # (C,)
    shape: tuple[int, ...]


class ActivationCache(NamedTuple):
    x: Array


class CrossEntropyCache(NamedTuple):
    logits: Array  # (N, V); after an in-place backward pass they are dz
    targets: Array  # (N,) int64
    lse: Array  # (N,)
    denominator: float
    label_smoothing: float
    shape: tuple[int, ...]
    consumed: list[bool]  # one entry: whether the logits have been overwritten
    weights: Array | None  # (N,)


def real_type(x: Array) -> type:
    """What a kernel computes in for x's dtype, and what gains, biases and parameter gradients are."""
    return np.float64 if x.dtype == np.float64 else np.float32


def element_define(x: Array) -> str:
    """The preprocessor definition that compiles a kernel for x's dtype (see element.cuh).

    Raises:
        TypeError: there is none.
    """
    if x.dtype.name not in _ELEMENTS:
        raise TypeError(f"the fused kernels take {', '.join(_ELEMENTS)}, not {x.dtype}")
    return _ELEMENTS[x.dtype.name]


NATIVE = (  # what takes 16-bit arrays as they are
    "layernorm_forward",
    "layernorm_backward",
    "rmsnorm_forward",
    "rmsnorm_backward",
    "gelu_tanh_forward",
    "gelu_tanh_backward",
    "gelu_erf_forward",
    "gelu_erf_backward",
    "cross_entropy_forward",
    "cross_entropy_backward",
    "embedding_backward",
)


class Operations:
    """The fused operations.

    Args:
        emulation: None on a GPU; how to emulate for NumPy arrays.
        in_place_loss: write the gradient of the logits over the logits: saves the largest array of a step. The cache of
            a cross-entropy serves one backward pass then; a second one raises.
    """

    def __init__(self, *, emulation: Emulation | None = None, in_place_loss: bool = False):
        self.emulation, self.in_place_loss = emulation, in_place_loss
        self.ACTIVATIONS = ops.ACTIVATIONS | {
            "gelu_tanh": (self.gelu_tanh_forward, self.gelu_tanh_backward),
            "gelu_erf": (self.gelu_erf_forward, self.gelu_erf_backward),
        }

    def __getattr__(self, name: str) -> Any:
        """Everything that no kernel was written for is the plain operation."""
        return getattr(ops, name)

    def _module(self, file: str, x: Array, xp: ModuleType) -> Module:
        return module(file, {element_define(x): 1}, xp, self.emulation)

    # ---- norms ------------------------------------------------------------------------------------------------------

    def layernorm_forward(
        self, x: Array, gain: Array, bias: Array | None = None, *, eps: float = 1e-5, out: Array | None = None
    ) -> tuple[Array, NormCache]:
        """See `minigpt.ops.layernorm_forward`."""
        return self._norm_forward(x, gain, bias, eps, out, centred=True)

    def rmsnorm_forward(
        self, x: Array, gain: Array, *, eps: float = 1e-6, out: Array | None = None
    ) -> tuple[Array, NormCache]:
        """See `minigpt.ops.rmsnorm_forward`."""
        return self._norm_forward(x, gain, None, eps, out, centred=False)

    def _norm_forward(
        self, x: Array, gain: Array, bias: Array | None, eps: float, out: Array | None, *, centred: bool
    ) -> tuple[Array, NormCache]:
        xp, real, flat = array_module(x, gain, bias), real_type(x), _flat(x)
        n, c = flat.shape
        _check_width(c, real)
        gain, bias = _real(gain, real), None if bias is None else _real(bias, real)
        y = xp.empty_like(flat)
        mean, inverse = xp.empty(n, real) if centred else None, xp.empty(n, real)
        if n:
            name, weights, sums = (
                ("layernorm", (gain, bias), (mean, inverse)) if centred else ("rmsnorm", (gain,), (inverse,))
            )
            args = (flat, *weights, y, *sums, np.int32(c), real(eps))
            shared = np.dtype(real).itemsize * c
            self._module("norm.cu", x, xp).launch(f"{name}_forward", (n,), (_THREADS,), args, shared_mem=shared)
        return deliver(y.reshape(x.shape), out), NormCache(flat, mean, inverse, gain, x.shape)

    def layernorm_backward(
        self, dy: Array, cache: NormCache, dgain: Array, dbias: Array | None = None, *, out: Array | None = None
    ) -> Array:
        """See `minigpt.ops.layernorm_backward`; the sums over rows have one fixed order."""
        x, mean, inverse, gain, shape = cache
        xp, real, dy = array_module(dy, x), real_type(x), _flat(dy)
        n, c = x.shape
        dx = xp.empty_like(x)
        for which, gradient in (("dgain", dgain), ("dbias", dbias)):
            if gradient is not None:
                check_array(which, gradient, xp, real, (c,), contiguous=True)
        if n:
            compiled = self._module("norm.cu", x, xp)
            name, sums = ("rmsnorm", (inverse,)) if mean is None else ("layernorm", (mean, inverse))
            shared = 2 * np.dtype(real).itemsize * c
            args = (dy, x, gain, *sums, dx, np.int32(c))
            compiled.launch(f"{name}_backward", (n,), (_THREADS,), args, shared_mem=shared)
            parts, columns = max(1, min(_PARTS, n // 16)), -(-c // _THREADS)
            partial = xp.empty((parts, 2, c), real)
            args = (dy, x, mean, inverse, partial, np.int64(n), np.int32(c))
            compiled.launch("norm_partial_sums", (columns, parts), (_THREADS,), args)
            args = (partial, dgain, dbias, np.int32(parts), np.int32(c))
            compiled.launch("norm_add_sums", (columns,), (_THREADS,), args)
        return deliver(dx.reshape(shape), out)

    def rmsnorm_backward(self, dy: Array, cache: NormCache, dgain: Array, *, out: Array | None = None) -> Array:
        """See `minigpt.ops.rmsnorm_backward`."""
        return self.layernorm_backward(dy, cache, dgain, out=out)

    # ---- activations ------------------------------------------------------------------------------------------------

    def _elementwise(self, name: str, like: Array, *inputs: Array) -> Array:
        xp = array_module(*inputs)
        inputs = tuple(xp.ascontiguousarray(x) for x in inputs)
        y = xp.empty(like.shape, like.dtype)
        if y.size:
            args = (*inputs, y, np.int64(y.size))
            self._module("activation.cu", like, xp).launch(name, (-(-y.size // _THREADS),), (_THREADS,), args)
        return y

    def gelu_tanh_forward(self, x: Array, *, out: Array | None = None) -> tuple[Array, ActivationCache]:
        """See `minigpt.ops.gelu_tanh_forward`."""
        return deliver(self._elementwise("gelu_tanh_forward", x, x), out), ActivationCache(x)

    def gelu_tanh_backward(self, dy: Array, cache: ActivationCache, *, out: Array | None = None) -> Array:
        """See `minigpt.ops.gelu_tanh_backward`."""
        return deliver(self._elementwise("gelu_tanh_backward", cache.x, dy, cache.x), out)

    def gelu_erf_forward(self, x: Array, *, out: Array | None = None) -> tuple[Array, ActivationCache]:
        """See `minigpt.ops.gelu_erf_forward`."""
        return deliver(self._elementwise("gelu_erf_forward", x, x), out), ActivationCache(x)

    def gelu_erf_backward(self, dy: Array, cache: ActivationCache, *, out: Array | None = None) -> Array:
        """See `minigpt.ops.gelu_erf_backward`."""
        return deliver(self._elementwise("gelu_erf_backward", cache.x, dy, cache.x), out)

    # ---- the two ends of a language model ---------------------------------------------------------------------------

    def cross_entropy_forward(
        self,
        logits: Array,
        targets: Array,
        *,
        denominator: float | None = None,
        label_smoothing: float = 0.0,
        weights: Array | None = None,
    ) -> tuple[float, CrossEntropyCache]:
        """See `minigpt.ops.cross_entropy_forward`."""
        xp, real = array_module(logits, targets), real_type(logits)
        z, y = _flat(logits), xp.ascontiguousarray(targets.reshape(-1).astype(np.int64))
        n, classes = z.shape
        if xp is np and not ((y >= 0) & (y < classes) | (y == ops.IGNORE)).all():
            raise ValueError(f"a target is outside the vocabulary of {classes} tokens")
        if denominator is None:
            denominator = max(count_targets(targets), 1)
        cost, lse = xp.zeros(n, real), xp.empty(n, real)
        if n:
            args = (z, y, cost, lse, np.int32(classes), real(label_smoothing))
            self._module("cross_entropy.cu", z, xp).launch("cross_entropy_forward", (n,), (_THREADS,), args)
        if weights is not None:
            weights = weights.reshape(-1).astype(real)
            cost *= weights
        loss = float(cost.sum(dtype=xp.float64)) / denominator
        return loss, CrossEntropyCache(z, y, lse, denominator, label_smoothing, logits.shape, [False], weights)

    def cross_entropy_backward(self, dloss: float, cache: CrossEntropyCache, *, out: Array | None = None) -> Array:
        """See `minigpt.ops.cross_entropy_backward`; with `in_place_loss` the result lies where the logits were.

        Raises:
            RuntimeError: the logits of this cache have been overwritten already.
        """
        z, y, lse, denominator, smoothing, shape, consumed, weights = cache
        if consumed[0]:
            raise RuntimeError("this cross-entropy cache was consumed: its logits are a gradient now")
        xp, real = array_module(z), real_type(z)
        consumed[0] = self.in_place_loss
        dz = z if self.in_place_loss else xp.empty_like(z)
        if len(z):
            args = (z, y, lse, dz, np.int32(z.shape[1]), real(smoothing), real(dloss / denominator))
            self._module("cross_entropy.cu", z, xp).launch("cross_entropy_backward", (len(z),), (_THREADS,), args)
        if weights is not None:
            dz *= weights[:, None].astype(dz.dtype)
        return deliver(dz.reshape(shape), out)

    def embedding_backward(self, dy: Array, cache: Any, dtable: Array) -> None:
        """See `minigpt.ops.embedding_backward`; sorted ids make the order of the sums, and so the bits, the same."""
        xp = array_module(dy, dtable)
        ids, dy = cache.ids.reshape(-1).astype(np.int64), _flat(dy)
        if not ids.size:
            return
        order = xp.argsort(ids, kind="stable").astype(np.int64)
        direct = dtable.flags.c_contiguous and dtable.dtype == real_type(dy)
        total = dtable if direct else xp.zeros(dtable.shape, real_type(dy))
        args = (ids[order], order, dy, total, np.int64(ids.size), np.int32(dy.shape[1]), real_type(dy)(cache.scale))
        self._module("embedding.cu", dy, xp).launch("embedding_backward", (ids.size,), (128,), args)
        if not direct:
            dtable += total


def operations_table(*, emulation: Emulation | None = None, in_place_loss: bool = False) -> SimpleNamespace:
    """All operations by name, like the module `minigpt.ops`: the fused ones, and the plain ones for the rest."""
    fused = Operations(emulation=emulation, in_place_loss=in_place_loss)
    names = {name: getattr(ops, name) for name in ops.__all__ if name != "ACTIVATIONS"}
    return SimpleNamespace(**names | {name: getattr(fused, name) for name in NATIVE}, ACTIVATIONS=fused.ACTIVATIONS)


def _flat(x: Array) -> Array:
    """(…, C) as contiguous rows (N, C)."""
    return array_module(x).ascontiguousarray(rows(x))


def _real(x: Array, real: type) -> Array:
    return array_module(x).ascontiguousarray(x.astype(real))


def _check_width(c: int, real: type) -> None:
    if c * np.dtype(real).itemsize > 4 * _WIDEST:
        raise ValueError(f"the norm kernels take up to {4 * _WIDEST // np.dtype(real).itemsize} features, not {c}")
