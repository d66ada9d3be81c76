"""Mixed precision: weights and activations of 16 bits, with float32 wherever 16 bits would not do.

The parameters of a run stay float32 (the master weights). Each step computes with a copy whose matrices are bfloat16 or
float16, and with `Mixed` operations: matrix products take 16-bit numbers and sum in float32; norms, softmax, losses and
everything else are worked out in float32 and rounded when they are stored; gradients of parameters are added up in
float32. float16 has a narrow range, so its gradients are computed of a scaled loss (see minigpt/train/passes.py);
bfloat16 has the range of float32 and needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from minigpt.core.backend import Array
from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.ops import Activation, Cache, DropoutKey, Operations
from minigpt.ops._common import LOW, Out, add_product, deliver, is_low, product, raised, rows

DTYPES = LOW


def low_dtype(name: str) -> np.dtype:
    """The NumPy dtype of this name, bfloat16 among them.

    Raises:
        UserError: bfloat16 needs the package ml_dtypes, which is not installed.
    """
    if name != "bfloat16":
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        raise UserError("bfloat16 needs the package ml_dtypes: pip install ml_dtypes") from None
    return np.dtype(ml_dtypes.bfloat16)


class Lowered(Parameters):
    """Parameters whose matrices are 16-bit copies; vectors (biases, gains) are the float32 originals.

    Args:
        copy: the matrices in `dtype`, if somebody keeps them.
    """

    def __init__(self, master: Parameters, dtype: np.dtype, copy: Array | None = None):
        super().__init__(master.specs, master.flat)
        self.flat = master.flat[: master.decayed].astype(dtype) if copy is None else copy  # the matrices come first
        start = 0
        for spec in self.specs:
            if spec.decays:
                self._views[spec.name] = self.flat[start : start + spec.size].reshape(spec.shape)
                start += spec.size


class LowCache(NamedTuple):
    """The float32 cache of an operation whose result was rounded to `dtype`."""

    cache: Cache
    dtype: np.dtype | None


class LinearCache(NamedTuple):
    x: Array  # (…, I), 16 bits
    weight: Array  # (I, O), 16 bits


def lowered(y: Any, dtype: np.dtype | None, out: Any) -> Any:
    """A result rounded to `dtype` if that is given, into `out` if that is given; tuples part by part."""
    if isinstance(y, tuple):
        return tuple(lowered(part, dtype, o) for part, o in zip(y, out or (None,) * len(y), strict=True))
    if dtype is not None and getattr(y, "shape", ()) != ():
        y = y.astype(dtype)
    return deliver(y, out)


class Mixed:
    """The operations of `table` on 16-bit arrays.

    Args:
        native: names of operations that take 16-bit arrays themselves and are passed on, such as fused kernels.
    """

    def __init__(self, table: Operations, native: Collection[str] = ()):
        self.table, self.native = table, frozenset(native)
        self.FUSED = table.FUSED if "layernorm_forward" in self.native else {}
        pairs = table.ACTIVATIONS.items()
        self.ACTIVATIONS: dict[str, Activation] = {
            name: pair if f"{name}_forward" in self.native else (_forward(pair[0]), _backward(pair[1]))
            for name, pair in pairs
        }

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.table, name)
        if name.endswith(("_forward", "_backward")) and name not in self.native:
            function = _forward(function) if name.endswith("_forward") else _backward(function)
        setattr(self, name, function)
        return function

    def embedding_forward(
        self, ids: Array, table: Array, *, scale: float = 1.0, out: Out = None
    ) -> tuple[Array, Cache]:
        """Rows of a 16-bit table are looked up as they are: no float32 copy of the table is made."""
        y, cache = self.table.embedding_forward(ids, table, scale=scale)
        return deliver(y.astype(table.dtype, copy=False), out), cache

    def dropout_forward(self, x: Array, rate: float, key: DropoutKey | None, *, out: Out = None) -> tuple[Array, Cache]:
        """Where nothing is dropped nothing is done."""
        if rate == 0.0 or key is None or "dropout_forward" in self.native:
            return self.table.dropout_forward(x, rate, key, out=out)
        return _forward(self.table.dropout_forward)(x, rate, key, out=out)

    def dropout_backward(self, dy: Array, cache: Cache, *, out: Out = None) -> Array:
        """See `dropout_forward`."""
        function = self.table.dropout_backward
        return (_backward(function) if isinstance(cache, LowCache) else function)(dy, cache, out=out)

    def linear_forward(
        self, x: Array, weight: Array, bias: Array | None = None, *, out: Out = None
    ) -> tuple[Array, Cache]:
        """y = x W + b; the product of 16-bit numbers with float32 sums."""
        if not is_low(x) or "linear_forward" in self.native:
            return self.table.linear_forward(x, weight, bias, out=out)
        y = product(rows(x), weight)  # (N, I) @ (I, O)
        if bias is not None:
            y = raised(y) + bias
        y = y.astype(x.dtype, copy=False).reshape(*x.shape[:-1], weight.shape[1])
        return deliver(y, out), LinearCache(x, weight)

    def linear_backward(
        self,
        dy: Array,
        cache: Cache,
        dweight: Array,
        dbias: Array | None = None,
        *,
        first: bool = False,
        out: Out = None,
    ) -> Array:
        """dx = dy Wᵀ in 16 bits; dW = xᵀ dy and db = Σ_n dy are added in float32."""
        if not isinstance(cache, LinearCache):
            return self.table.linear_backward(dy, cache, dweight, dbias, first=first, out=out)
        x, weight = cache
        dy_rows = rows(dy)  # (N, O)
        add_product(dweight, rows(x), dy_rows, first)  # y = x W: (I, N) @ (N, O)
        if dbias is not None:
            dbias += raised(dy_rows).sum(axis=0)  # y += b
        dx = product(dy_rows, weight.T).astype(dy.dtype, copy=False).reshape(x.shape)  # y = x W: (N, O) @ (O, I)
        return deliver(dx, out)


def _forward(function: Callable[..., Any]) -> Callable[..., Any]:
    """A forward operation in float32 for 16-bit arrays; its result has their dtype."""

    def forward(*arguments: Any, out: Any = None, **keywords: Any) -> tuple[Any, Any]:
        dtype = next((x.dtype for x in arguments if is_low(x)), None)
        y, cache = function(*map(raised, arguments), **{k: raised(v) for k, v in keywords.items()})
        return lowered(y, dtype, out), LowCache(cache, dtype)

    return forward


def _backward(function: Callable[..., Any]) -> Callable[..., Any]:
    """A backward operation in float32; gradients of activations have the dtype of the forward pass's result."""

    def backward(dy: Any, cache: Any, *gradients: Any, out: Any = None, **keywords: Any) -> Any:
        dtype = dy.dtype if is_low(dy) else None
        if isinstance(cache, LowCache):
            cache, dtype = cache
        dx = function(raised(dy), cache, *gradients, **keywords)
        return None if dx is None else lowered(dx, dtype, out)

    return backward
