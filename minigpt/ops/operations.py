"""Which operations a model asks for: what `minigpt.ops` and everything that takes its place has to provide.

`minigpt.ops` (to be read), `minigpt.fast`, the tables of `minigpt.fast.loops` and `minigpt.kernels.fused`, and
`minigpt.blocks.mixed.Mixed` have these names with these signatures; `Run.ops` holds one of them. What each operation
computes stands at the functions of `minigpt.ops`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from minigpt.core.backend import Array
from minigpt.ops.attention import NO_MASK, Mask
from minigpt.ops.dropout import DropoutKey
from minigpt.ops.rope import Rope

# What a forward function kept for its backward function: a NamedTuple of each implementation's own (`ops.LinearCache`,
# `fast.activation.DerivativeCache`, …). Nobody in between looks into it.
Cache = Any

Heads = tuple[Array, Array, Array]  # dq (B, T, H, D), dk and dv (B, S, G, D)


class ActivationForward(Protocol):
    def __call__(self, x: Array, /, *, out: Array | None = None) -> tuple[Array, Cache]: ...


class ActivationBackward(Protocol):
    def __call__(self, dy: Array, cache: Cache, /, *, out: Array | None = None) -> Array: ...


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

    def embedding_forward(
        self, ids: Array, table: Array, /, *, scale: float = 1.0, out: Array | None = None
    ) -> tuple[Array, Cache]: ...

    def embedding_backward(self, dy: Array, cache: Cache, dtable: Array, /) -> None: ...

    def position_forward(
        self, x: Array, table: Array, /, *, positions: int | Array = 0, out: Array | None = None
    ) -> tuple[Array, Cache]: ...

    def position_backward(
        self, dy: Array, cache: Cache, dtable: Array | None, /, *, out: Array | None = None
    ) -> Array: ...

    def linear_forward(
        self, x: Array, weight: Array, bias: Array | None = None, /, *, out: Array | None = None
    ) -> tuple[Array, Cache]: ...

    def linear_backward(
        self,
        dy: Array,
        cache: Cache,
        dweight: Array,
        dbias: Array | None = None,
        /,
        *,
        first: bool = False,
        out: Array | None = None,
    ) -> Array: ...

    def layernorm_forward(
        self, x: Array, gain: Array, bias: Array | None = None, /, *, eps: float = 1e-5, out: Array | None = None
    ) -> tuple[Array, Cache]: ...

    def layernorm_backward(
        self, dy: Array, cache: Cache, dgain: Array, dbias: Array | None = None, /, *, out: Array | None = None
    ) -> Array: ...

    def rmsnorm_forward(
        self, x: Array, gain: Array, /, *, eps: float = 1e-6, out: Array | None = None
    ) -> tuple[Array, Cache]: ...

    def rmsnorm_backward(self, dy: Array, cache: Cache, dgain: Array, /, *, out: Array | None = None) -> Array: ...

    def dropout_forward(
        self, x: Array, rate: float, key: DropoutKey | None, /, *, out: Array | None = None
    ) -> tuple[Array, Cache]: ...

    def dropout_backward(self, dy: Array, cache: Cache, /, *, out: Array | None = None) -> Array: ...

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
        out: Array | None = None,
    ) -> tuple[Array, Cache]: ...

    def attention_backward(self, dy: Array, cache: Cache, /, *, out: Heads | None = None) -> Heads: ...

    def attention_results(self, cache: Cache, /) -> Cache: ...

    def attention_cache(self, q: Array, k: Array, v: Array, results: Cache, /) -> Cache: ...

    def rope_forward(
        self, x: Array, rope: Rope, /, *, positions: int | Array = 0, out: Array | None = None
    ) -> tuple[Array, Cache]: ...

    def rope_backward(self, dy: Array, cache: Cache, /, *, out: Array | None = None) -> Array: ...

    def tanh_forward(self, x: Array, /, *, out: Array | None = None) -> tuple[Array, Cache]: ...

    def tanh_backward(self, dy: Array, cache: Cache, /, *, out: Array | None = None) -> Array: ...

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

    def cross_entropy_backward(self, dloss: float, cache: Cache, /, *, out: Array | None = None) -> Array: ...

    def squared_error_forward(
        self, predictions: Array, targets: Array, /, *, denominator: float | None = None
    ) -> tuple[float, Cache]: ...

    def squared_error_backward(self, dloss: float, cache: Cache, /, *, out: Array | None = None) -> Array: ...
