"""Weights of 8 bits for writing: matrices of signed bytes with a scale for every output, read four times as fast.

One text is written at the speed at which the weights are read (see minigpt/lab/benchmark/decode.py), so fewer bytes are
fewer milliseconds. A row of weights w (I,), those of one output, becomes

    s = maxᵢ |wᵢ| / 127        qᵢ = round(wᵢ / s) ∈ {−127, …, 127}        ŵᵢ = s qᵢ .

Rounding moves a number by at most 1/2, and |wᵢ/s| ≤ 127, so nothing is cut off: |wᵢ − ŵᵢ| ≤ s/2. Of the output it makes
|Σᵢ xᵢ (wᵢ − ŵᵢ)| ≤ s/2 Σᵢ |xᵢ|, and, as errors of rounding are about uniform and independent, s/√12 ‖x‖ as a rule. The
scale stands before the sum, Σᵢ xᵢ ŵᵢ = s Σᵢ xᵢ qᵢ, so it costs one product for each output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.params import Parameters
from minigpt.fast.team import threads

FEW = 32  # rows up to which a compiled loop over the bytes is quicker than making floats of them for BLAS
_BLOCK = 1 << 22  # numbers of a matrix that are floats at a time, 16 MB: of many rows, 1.05 times the time of floats


@dataclass(frozen=True, eq=False)
class Int8Matrix:
    """A matrix W (I, O) for x W, kept by outputs: a row of `values` (O, I) for each, and its scale (O,)."""

    values: np.ndarray
    scale: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[1], self.values.shape[0]


@dataclass(frozen=True, eq=False)
class Int8Table:
    """An embedding (V, C) that is the output layer, too: its transpose `T` is that layer's matrix (C, V)."""

    T: Int8Matrix

    @property
    def shape(self) -> tuple[int, int]:
        return self.T.values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.T.scale.dtype

    def __len__(self) -> int:
        return len(self.T.values)

    def take(self, ids: np.ndarray, axis: int, out: np.ndarray, mode: str) -> None:
        """The rows ŵ (…, C) of these ids, as `ndarray.take`."""
        np.multiply(self.T.values[ids], self.T.scale[ids][..., None], out=out)


def int8_matrix(weight: np.ndarray) -> Int8Matrix:
    """The matrix of bytes that is closest to `weight` (I, O). An output whose weights are all 0 keeps them."""
    scale = np.abs(weight).max(axis=0) / 127
    steps = weight.T / np.where(scale, scale, 1)[:, None]  # (O, I)
    return Int8Matrix(np.rint(steps, out=steps).astype(np.int8, order="C"), scale)


def int8_product(
    x: np.ndarray, weight: Int8Matrix, out: np.ndarray, few: Callable[..., bool] | None = None
) -> np.ndarray:
    """out = x Ŵ for x (N, I) and out (N, O): floats are made of a block of outputs at a time, for BLAS.

    Args:
        few: what multiplies the bytes themselves, if it can, which is quicker for a few rows.
    """
    if few is not None and len(x) <= FEW and few(x, weight.values, weight.scale, out, threads()):
        return out
    step = max(1, _BLOCK // x.shape[1])
    for start in range(0, len(weight.scale), step):
        block = weight.values[start : start + step].astype(x.dtype)  # (block, I)
        np.matmul(x, block.T, out=out[:, start : start + step])
    out *= weight.scale
    return out


class Int8Parameters(Parameters):
    """Parameters for writing, a quarter as large: the matrices of linear layers are bytes, all else is as it was.

    Those are attention's, the feed-forward layers' and the output layer's, the embedding where it is that layer too. An
    embedding that is not, positions, gains and biases keep their numbers: of each, a token reads a row.
    """

    def __init__(self, params: Parameters):
        small = [name for name in params if name.endswith(".weight") or name == "output"]
        tied = [] if "output" in small else ["tokens"]
        kept = [spec for spec in params.specs if spec.name not in {*small, *tied}]
        super().__init__(kept, np.concatenate([params[spec.name].ravel() for spec in kept]))
        views: dict[str, Any] = self._views
        views |= {name: int8_matrix(params[name]) for name in small}
        views |= {name: Int8Table(int8_matrix(params[name].T)) for name in tied}

    def zeros_like(self) -> Parameters:
        raise UserError("weights of int8 have no gradients: load the model with its own to train it")
