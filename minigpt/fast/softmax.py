"""What is done inside a tile of attention's scores, between its matrix products: masks, softmax and its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minigpt.core import workspace
from minigpt.fast._common import ones
from minigpt.fast.tiles import Tile, by_group, penalize
from minigpt.ops.attention import Mask
from minigpt.ops.dropout import DropoutKey, dropout_multiplier, dropout_slice

_LARGEST = 27.0  # e^27 is 5e11: squares of such sums, and gradients divided by them, are still far inside float32
Place = tuple[slice, slice, slice, slice, slice]  # where a tile lies in (B, G, R, T, S)


class Inner(NamedTuple):
    """The functions of this module and what draws dropout, or what takes their place."""

    exponentials: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Place, Tile, Mask], None]
    softmax: Callable[[np.ndarray, np.ndarray, int, Tile, Mask], np.ndarray]
    softmax_again: Callable[[np.ndarray, np.ndarray, int, Tile, Mask], None]
    row_gradient: Callable[[np.ndarray, np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]
    score_gradient: Callable[[np.ndarray, np.ndarray, np.ndarray, Place], None]
    one_query: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, float], None]
    dropout_multiplier: Callable[[np.ndarray, float, DropoutKey], np.ndarray]
    dropout_slice: Callable[[float, DropoutKey, int, int, int, np.dtype], np.ndarray]


def exponentials(
    q: np.ndarray, kt: np.ndarray, e: np.ndarray, inverse: np.ndarray, place: Place, tile: Tile, mask: Mask
) -> None:
    """E of one tile up to a factor for each row, and one over its row sums.

    Rows' maxima are taken off so that exp does not overflow, and cost more than exp itself: NumPy's maximum of a short
    row is slow (see fast/README). Where no score is as large as _LARGEST, and no row's are all below its negative,
    nothing overflows or underflows without them either, to the same precision. (A tile decides as a whole, so a row's
    last bits can depend on the rows beside it.)

    Args:
        q, kt: the tile's (…, n, D) and (…, D, m), one of them scaled.
        e, inverse: (B, G, R, T, S) and (B, G, R, T, 1), which are written at `place`.
    """
    e, inverse = e[place], inverse[place[:4]]
    np.matmul(q, kt, out=e)
    penalize(e, tile, mask, place[0])
    may_be_empty = tile.may_be_empty or mask.key_padding is not None
    # 16 bits end long before _LARGEST
    if not may_be_empty and e.shape[-1] and e.itemsize >= 4 and e.max() < _LARGEST:
        np.exp(e, out=e)
        sums = np.matmul(e, ones(e.shape[-1], e.dtype), out=inverse[..., 0])
        if sums.min() > math.exp(-_LARGEST):
            np.reciprocal(sums, out=sums)
            return
        np.matmul(q, kt, out=e)  # once more
        penalize(e, tile, mask, place[0])
    largest, sums = _shifted_exponentials(e, may_be_empty)
    np.reciprocal(sums, out=inverse)
    if may_be_empty:
        inverse[np.isposinf(largest)] = 0.0


def softmax(z: np.ndarray, log_sums: np.ndarray, row: int, tile: Tile, mask: Mask) -> np.ndarray:
    """Turn a tile's scores (1, 1, R, n, m), of one row of the batch, into exponentials up to a factor for each row.

    Args:
        log_sums: (1, 1, R, n, 1), where log Σ exp z goes; ∞ for a query with nothing to look at.
    Returns:
        what the rows of E V have to be divided by, (1, 1, R, n, 1).
    """
    penalize(z, tile, mask, slice(row, row + 1))
    largest, sums = _shifted_exponentials(z, tile.may_be_empty or mask.key_padding is not None)
    np.log(sums, out=log_sums)
    log_sums += largest
    return sums


def softmax_again(z: np.ndarray, log_sums: np.ndarray, row: int, tile: Tile, mask: Mask) -> None:
    """Turn a tile's scores into probabilities, exp(z − log Σ exp z)."""
    penalize(z, tile, mask, slice(row, row + 1))
    z -= log_sums
    np.exp(z, out=z)


def row_gradient(dy: np.ndarray, y: np.ndarray, inverse: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """d = dO/l, (B, T, H, D), and s d · O, (B, G, R, T, 1), where Σ_j dA_ij A_ij / l_i is d · O.

    Args:
        dy: dO, (B, T, H, D).
        y, inverse: O, (B, G, R, T, D), and 1/l, (B, G, R, T, 1).
    """
    d = workspace.empty(dy.shape, dy.dtype)
    dh = by_group(d, y.shape[1])
    np.multiply(by_group(dy, y.shape[1]), inverse, out=dh)
    dots = np.vecdot(dh, y)[..., None]
    dots *= scale
    return d, dots


def score_gradient(dz: np.ndarray, p: np.ndarray, dots: np.ndarray, place: Place) -> None:
    """dZ = P (dP − dO · O) of one tile, in place of dP; P (B, G, R, T, S) and dO · O (B, G, R, T, 1) at `place`.

    `dz` has only the rows of the batch and the groups that `place` names, and the tile where it is in those.
    """
    dz = dz[:, :, *place[2:]]
    dz -= dots[place[:4]]
    dz *= p[place]


def one_query(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    y: np.ndarray,
    e: np.ndarray,
    inverse: np.ndarray,
    scale: float,
) -> None:
    """O, E and 1/l of a single query of each row of the batch, which looks at all keys.

    Args:
        q, k, v, y: (B, 1, H, D), (B, S, G, D) twice, and O like q.
        e, inverse: (B, G, R, 1, S) and (B, G, R, 1, 1).
    """
    groups = k.shape[2]
    np.matmul(by_group(q, groups) * scale, by_group(k, groups).swapaxes(-1, -2), out=e)
    e -= e.max(axis=-1, keepdims=True)
    np.exp(e, out=e)
    np.sum(e, axis=-1, keepdims=True, out=inverse)
    np.reciprocal(inverse, out=inverse)
    result = by_group(y, groups)
    np.matmul(e, by_group(v, groups), out=result)
    result *= inverse


def _shifted_exponentials(z: np.ndarray, may_be_empty: bool) -> tuple[np.ndarray, np.ndarray]:
    """Turn masked scores into exp(z − row maximum) in place; return the rows' maxima and sums.

    They are ∞ and 1 for a query with nothing to look at.
    """
    if z.shape[-1] == 0:
        return np.full((*z.shape[:-1], 1), math.inf, z.dtype), np.ones((*z.shape[:-1], 1), z.dtype)
    largest = z.max(axis=-1, keepdims=True)
    if may_be_empty:
        empty = np.isneginf(largest)
        largest[empty] = 0.0
    z -= largest
    sums = np.matmul(np.exp(z, out=z), ones(z.shape[-1], z.dtype))[..., None]
    if may_be_empty:
        sums[empty], largest[empty] = 1.0, math.inf
    return largest, sums


NUMPY = Inner(
    exponentials, softmax, softmax_again, row_gradient, score_gradient, one_query, dropout_multiplier, dropout_slice
)
