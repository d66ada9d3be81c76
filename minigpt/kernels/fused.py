"""The operations of `minigpt.ops` by fused kernels: same names, same signatures, held to the same table.

`operations_table()` works on CuPy arrays; `operations_table(emulation=Emulation())` on NumPy arrays, through the
emulator and the same lines. LayerNorm, RMSNorm, GELU, dropout, cross-entropy, biases and the embedding's gradient are
kernels; what is a matrix product or a single array operation anyway is the plain version, and so is what no kernel was
written for. `FUSED` has what a model asks for where two operations follow one another (see
`minigpt.blocks.fused`).

Arrays are float64, float32, bfloat16 or float16. Gains, biases and gradients of parameters are float64 for float64
arrays and float32 for all others.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from minigpt import ops
from minigpt.core.backend import Array, array_module
from minigpt.kernels.emulator import Emulation
from minigpt.kernels.layers import Layers
from minigpt.kernels.rows import as_matrix, pack_of, real_type
from minigpt.ops._common import Out, deliver
from minigpt.ops.losses import count_targets

_THREADS = 256
_CHUNK = 32  # sorted ids that a block of embedding.cu takes


class CrossEntropyCache(NamedTuple):
    logits: Array  # (N, V); after an in-place backward pass they are dz
    targets: Array  # (N,) int64
    lse: Array  # (N,)
    denominator: float
    label_smoothing: float
    shape: tuple[int, ...]
    consumed: list[bool]  # one entry: whether the logits have been overwritten
    weights: Array | None  # (N,)


class Operations(Layers):
    """The fused operations.

    Args:
        emulation: None on a GPU; how to emulate for NumPy arrays.
        in_place_loss: write the gradient of the logits over the logits: saves the largest array of a step. The cache of
            a cross-entropy serves one backward pass then; a second one raises.
    """

    def __init__(self, *, emulation: Emulation | None = None, in_place_loss: bool = False):
        super().__init__(emulation)
        self.in_place_loss = in_place_loss
        self.ACTIVATIONS = ops.ACTIVATIONS | {
            "gelu_tanh": (self.gelu_tanh_forward, self.gelu_tanh_backward),
            "gelu_erf": (self.gelu_erf_forward, self.gelu_erf_backward),
        }

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
        z, y = as_matrix(logits), xp.ascontiguousarray(targets.reshape(-1).astype(np.int64, copy=False))
        n, classes = z.shape
        if xp is np and not ((y >= 0) & (y < classes) | (y == ops.IGNORE)).all():
            raise ValueError(f"a target is outside the vocabulary of {classes} tokens")
        if denominator is None:
            denominator = max(count_targets(targets), 1)
        cost, lse = xp.empty(n, real), xp.empty(n, real)
        self._each_row("cross_entropy_forward", (z, y, cost, lse, np.int32(classes), real(label_smoothing)))
        if weights is not None:
            weights = weights.reshape(-1).astype(real)
            cost *= weights
        loss = float(cost.sum(dtype=xp.float64)) / denominator
        return loss, CrossEntropyCache(z, y, lse, denominator, label_smoothing, logits.shape, [False], weights)

    def cross_entropy_backward(self, dloss: float, cache: CrossEntropyCache, *, out: Out = None) -> Array:
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
        numbers = np.int32(z.shape[1]), real(smoothing), real(dloss / denominator)
        self._each_row("cross_entropy_backward", (z, y, lse, dz, *numbers))
        if weights is not None:
            dz *= weights[:, None].astype(dz.dtype)
        return deliver(dz.reshape(shape), out)

    def _each_row(self, name: str, args: tuple[Any, ...]) -> None:
        """A block for each row of the first argument, whatever its length: the kernel itself looks for 16 bytes."""
        z = args[0]
        self._module("cross_entropy.cu", z, PACK=pack_of(16, z)).launch(name, (len(z),), (_THREADS,), args)

    def embedding_backward(self, dy: Array, cache: Any, dtable: Array) -> None:
        """See `minigpt.ops.embedding_backward`; sorted ids make the order of the sums, and so the bits, the same."""
        xp = array_module(dy, dtable)
        ids, dy = cache.ids.reshape(-1).astype(np.int64), as_matrix(dy)
        if not ids.size:
            return
        order = xp.argsort(ids, kind="stable").astype(np.int64, copy=False)
        direct = dtable.flags.c_contiguous and dtable.dtype == real_type(dy)
        total = dtable if direct else xp.zeros(dtable.shape, real_type(dy))
        width, chunks = dy.shape[1], -(-ids.size // _CHUNK)
        sums, ids = xp.empty((chunks, 2, width), real_type(dy)), ids[order]
        numbers = np.int64(ids.size), np.int32(width), real_type(dy)(cache.scale)
        compiled, grid = self._module("embedding.cu", dy, PACK=1), (chunks, -(-width // 128))
        compiled.launch("embedding_backward", grid, (128,), (ids, order, dy, total, sums, *numbers))
        compiled.launch("embedding_add_runs", grid, (128,), (ids, sums, total, *numbers))
        if not direct:
            dtable += total.astype(dtable.dtype, copy=False)

    def position_backward(self, dy: Array, cache: Any, dtable: Array | None, *, out: Out = None) -> Array:
        """See `minigpt.ops.position_backward`."""
        positions, length, context = cache
        if dtable is not None and isinstance(positions, int) and dtable.dtype == real_type(dy):
            table = dtable[positions : positions + length].reshape(-1)  # (T·C,), of one table
            self.add_column_sums(array_module(dy).ascontiguousarray(dy.reshape(len(dy), -1)), table)
        elif dtable is not None:
            self.embedding_backward(dy, ops.embedding.EmbeddingCache(positions, context), dtable)
        return deliver(dy, out)


_KERNELS = [name for name in dir(Operations) if name[0] != "_" and name.endswith(("_forward", "_backward"))]
NATIVE = (*_KERNELS, "position_forward")  # what takes 16-bit arrays as they are


def operations_table(*, emulation: Emulation | None = None, in_place_loss: bool = False) -> SimpleNamespace:
    """All operations by name, like the module `minigpt.ops`: the fused ones, and the plain ones for the rest."""
    fused = Operations(emulation=emulation, in_place_loss=in_place_loss)
    return SimpleNamespace(**ops.TABLE | {name: getattr(fused, name) for name in (*_KERNELS, "ACTIVATIONS", "FUSED")})
