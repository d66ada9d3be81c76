"""How attention's T × S scores are cut into tiles that stay in cache and never show what the mask rules out."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minigpt.core import workspace
from minigpt.fast.team import TEAM, cuts
from minigpt.ops.attention import Mask

TILE_NUMBERS = 192 * 1024  # scores that are worked on at a time
_MANY = 64  # queries that make up for writing out keys or values transposed


def by_group(x: np.ndarray, groups: int) -> np.ndarray:
    """View (B, T, H, D) as (B, G, R, T, D)."""
    b, t, h, d = x.shape
    return x.reshape(b, t, groups, h // groups, d).transpose(0, 2, 3, 1, 4)


class Tile(NamedTuple):
    """Rows of queries, with the range of keys that any of them may look at.

    Attributes:
        ahead: how many of these keys stand before the first query's position.
        may_be_empty: whether a query can be left with nothing to look at, padding apart.
    """

    rows: slice
    columns: slice
    ahead: int
    may_be_empty: bool


def tiles(queries: int, keys: int, mask: Mask, *, height: int | None = None) -> list[Tile]:
    """Tiles of so many rows, by default as many as a good matrix product needs."""
    if height is None:
        height = queries if queries <= 64 else 48 if queries <= 512 else 128
    offset, cut = keys - queries, []
    for start in range(0, queries, max(1, height)):
        stop = min(start + height, queries)
        first, last = 0, keys
        if mask.causal:
            last = min(last, stop + offset)
        elif mask.window:
            last = min(last, stop - 1 + offset + mask.window)
        if mask.window:
            # rounded down, so that tiles begin where others end
            first = max(0, offset + (start - mask.window + 1) // height * height)
        columns = slice(min(first, max(last, 0)), max(last, 0))
        cut.append(Tile(slice(start, stop), columns, start + offset - columns.start, offset < 0))
    return cut


def by_keys(cut: list[Tile], keys: int) -> list[tuple[slice, slice]]:
    """Blocks of all keys, each with the rows of queries whose tiles hold it: (rows, columns)."""
    ends = {0, keys}.union(*((tile.columns.start, tile.columns.stop) for tile in cut))
    blocks = []
    for a, b in itertools.pairwise(sorted(ends)):
        rows = [tile.rows for tile in cut if tile.columns.start <= a and b <= tile.columns.stop]
        blocks.append((slice(rows[0].start, rows[-1].stop) if rows else slice(0, 0), slice(a, b)))
    return blocks


def factors(a: np.ndarray, b: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays whose product is s a bᵀ, (…, T, D) and (…, D, S), of (…, R, T, D) and (…, 1, S, D).

    BLAS takes two thirds of the time for b written out as (D, S), which pays where there are many queries.
    """
    turned = b.swapaxes(-1, -2)
    if a.shape[-2] * a.shape[-3] < _MANY:
        return np.multiply(a, scale, out=workspace.empty(a.shape, a.dtype)), turned
    return a, np.multiply(turned, scale, out=workspace.empty(turned.shape, b.dtype))


def units(batch: int, groups: int, heads: int, keys: int, cut: list[Tile]) -> list[tuple[slice, slice]]:
    """Cut the batch (or, if that leaves a team idle, the groups of `heads` heads) so that a tile stays in cache."""
    height, members = cut[0].rows.stop if cut else 1, TEAM.get().size
    step = max(1, TILE_NUMBERS // max(1, groups * heads * height * keys))
    batches = [slice(start, min(start + step, batch)) for start in range(0, batch, step)]
    shares = cuts(groups, members) if len(batches) < members else [slice(0, groups)]
    return [(rows, share) for rows in batches for share in shares]


def penalize(scores: np.ndarray, tile: Tile, mask: Mask, batch: slice) -> None:
    """Add −∞ to the scores of a tile, of some rows of the batch, that the mask rules out."""
    causal, window, padding = mask
    if (causal or window) and scores.shape[-1]:
        # without a window only the tile's last columns hold anything but zeros
        edge = 0 if window else max(0, tile.ahead)
        size = scores.shape[-2], scores.shape[-1] - edge
        penalty = _distance_penalty(*size, tile.ahead - edge, causal, window, scores.dtype)
        if penalty is not None:
            scores[..., edge:] += penalty
    if padding is not None:
        real = padding[batch, tile.columns].astype(bool)
        scores += np.where(real, 0.0, -math.inf).astype(scores.dtype)[:, None, None, None, :]


@lru_cache(maxsize=64)
def _distance_penalty(
    queries: int, keys: int, ahead: int, causal: bool, window: int, dtype: np.dtype
) -> np.ndarray | None:
    """0 where a query may look at a key, −∞ where not, (queries, keys); None if nothing is ruled out.

    The first query stands `ahead` positions after the first key.
    """
    distance = np.arange(queries)[:, None] + ahead - np.arange(keys)
    allowed = distance >= 0 if causal else np.ones((queries, keys), bool)
    if window:
        allowed &= np.abs(distance) < window
    return None if allowed.all() else np.where(allowed, 0.0, -math.inf).astype(dtype)
