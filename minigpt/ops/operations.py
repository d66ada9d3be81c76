"""Which operations a model asks for: what `minigpt.ops` and everything that takes its place has to provide.

`minigpt.ops` (to be read), `minigpt.fast`, the tables of `minigpt.fast.loops` and `minigpt.kernels.fused`, and
`minigpt.blocks.mixed.Mixed` have these names with these signatures; `Run.ops` holds one of them. What each operation
computes stands at the functions of `minigpt.ops`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

from minigpt.core.backend import Array
from minigpt.ops._common import Out
from minigpt.ops.attention import NO_MASK, Mask
from minigpt.ops.dropout import DropoutKey
from minigpt.ops.rope import Rope

# What a forward function kept for its backward function: a NamedTuple of each implementation's own (`ops.LinearCache`,
# `fast.activation.DerivativeCache`, …). Nobody in between looks into it.
Cache = Any

Result: TypeAlias = tuple[Array, Cache]  # of a forward function
Heads = tuple[Array, Array, Array]  # dq (B, T, H, D), dk and dv (B, S, G, D)


class ActivationForward(Protocol):
    def __call__(self, x: Array, /, *, out: Out = None) -> Result: ...


class ActivationBackward(Protocol):
    def __call__(self, dy: Array, cache: Cache, /, *, out: Out = None) -> Array: ...


Activation = tuple[ActivationForward, ActivationBackward]
Fused = Mapping[str, Any]  # functions by name, or pairs of them


class Sum(NamedTuple):
    """onto + dropout(x + bias), not worked out yet: where operations are fused, the norm that reads it does that."""

    x: Array  # (…, C); the sum will lie here
    bias: Array | None  # (C,)
    onto: Array | None  # (…, C)
    dropout: Cache


class Operations(Protocol):
    """The operations of a Transformer, each a forward and a backward function."""

    @property
    def ACTIVATIONS(self) -> Mapping[str, Activation]: ...

    @property
    def FUSED(self) -> Fused:
        """Operations that follow one another and are one here; `minigpt.blocks.fused` asks for them by name."""

    def add(self, x: Array, y: Array, /) -> Array: ...

    def empty(self, shape: tuple[int, ...], /, like: Array) -> Array: ...

    def embedding_forward(self, ids: Array, table: Array, /, *, scale: float = 1.0, out: Out = None) -> Result: ...

    def embedding_backward(self, dy: Array, cache: Cache, dtable: Array, /) -> None: ...

    def position_forward(self, x: Array, table: Array, /, *, positions: int | Array = 0, out: Out = None) -> Result: ...

    def position_backward(self, dy: Array, cache: Cache, dtable: Array | None, /, *, out: Out = None) -> Array: ...

    def linear_forward(self, x: Array, weight: Array, bias: Array | None = None, /, *, out: Out = None) -> Result: ...

    def linear_backward(
        self,
        dy: Array,
        cache: Cache,
        dweight: Array,
        dbias: Array | None = None,
        /,
        *,
        first: bool = False,
        out: Out = None,
    ) -> Array: ...

    def layernorm_forward(
        self, x: Array, gain: Array, bias: Array | None = None, /, *, eps: float = 1e-5, out: Out = None
    ) -> Result: ...

    def layernorm_backward(
        self, dy: Array, cache: Cache, dgain: Array, dbias: Array | None = None, /, *, out: Out = None
    ) -> Array: ...

    def rmsnorm_forward(self, x: Array, gain: Array, /, *, eps: float = 1e-6, out: Out = None) -> Result: ...

    def rmsnorm_backward(self, dy: Array, cache: Cache, dgain: Array, /, *, out: Out = None) -> Array: ...

    def dropout_forward(self, x: Array, rate: float, key: DropoutKey | None, /, *, out: Out = None) -> Result: ...

    def dropout_backward(self, dy: Array, cache: Cache, /, *, out: Out = None) -> Array: ...

    def attention_forward(
        self,
        q: Array,
        k: Array,
        v: Array,
        /,
        *,
        mask: Mask = NO_MASK,
        scale: float | None = None,
        dropout: float = 0.0,
        key: DropoutKey | None = None,
        out: Out = None,
    ) -> Result: ...

    def attention_backward(self, dy: Array, cache: Cache, /, *, out: Heads | None = None) -> Heads: ...

    def attention_results(self, cache: Cache, /) -> Cache: ...

    def attention_cache(self, q: Array, k: Array, v: Array, results: Cache, /) -> Cache: ...

    def rope_forward(self, x: Array, rope: Rope, /, *, positions: int | Array = 0, out: Out = None) -> Result: ...

    def rope_backward(self, dy: Array, cache: Cache, /, *, out: Out = None) -> Array: ...

    def tanh_forward(self, x: Array, /, *, out: Out = None) -> Result: ...

    def tanh_backward(self, dy: Array, cache: Cache, /, *, out: Out = None) -> Array: ...

    def cross_entropy_forward(
        self,
        logits: Array,
        targets: Array,
        /,
        *,
        denominator: float | None = None,
        label_smoothing: float = 0.0,
        weights: Array | None = None,
    ) -> tuple[float, Cache]: ...

    def cross_entropy_backward(self, dloss: float, cache: Cache, /, *, out: Out = None) -> Array: ...

    def squared_error_forward(
        self, predictions: Array, targets: Array, /, *, denominator: float | None = None
    ) -> tuple[float, Cache]: ...

    def squared_error_backward(self, dloss: float, cache: Cache, /, *, out: Out = None) -> Array: ...
