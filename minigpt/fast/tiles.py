"""How attention's T × S scores are cut into tiles that stay in cache and never show what the mask rules out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from minigpt.fast.team import parts, size
from minigpt.ops.attention import Mask

_TILE_NUMBERS = 192 * 1024  # scores that are worked on at a time


def by_group(x: np.ndarray, groups: int) -> np.ndarray:
    """View (B, T, H, D) as (B, G, R, T, D)."""
    b, t, h, d = x.shape
    return x.reshape(b, t, groups, h // groups, d).transpose(0, 2, 3, 1, 4)


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


@dataclass(frozen=True)
class Tiles:
    """Rows of queries, each with the range of keys that any of them may look at."""

    queries: int
    keys: int
    mask: Mask
    height: int

    def __iter__(self) -> Iterator[tuple[slice, slice]]:
        offset = self.keys - self.queries
        for start in range(0, self.queries, self.height):
            stop = min(start + self.height, self.queries)
            first, last = 0, self.keys
            if self.mask.causal:
                last = min(last, stop + offset)
            elif self.mask.window:
                last = min(last, stop - 1 + offset + self.mask.window)
            if self.mask.window:
                first = max(0, start + offset - self.mask.window + 1)
            yield slice(start, stop), slice(min(first, max(last, 0)), max(last, 0))

    def penalize(self, scores: np.ndarray, rows: slice, columns: slice, batch: slice) -> None:
        """Add −∞ to the scores of a tile that the mask rules out."""
        causal, window, padding = self.mask
        if (causal or window) and columns.stop > columns.start:
            first = rows.start + self.keys - self.queries  # the first query's position among the keys
            # without a window only the tile's last columns hold anything but zeros
            edge = columns.start if window else max(columns.start, first)
            size = rows.stop - rows.start, columns.stop - edge
            penalty = _distance_penalty(*size, first - edge, causal, window, scores.dtype)
            if penalty is not None:
                scores[..., edge - columns.start :] += penalty
        if padding is not None:
            real = padding[batch, columns].astype(bool)
            scores += np.where(real, 0.0, -math.inf).astype(scores.dtype)[:, None, None, None, :]

    def units(self, rows: int, groups: int, heads: int) -> list[tuple[slice, slice]]:
        """Cut the batch (or, if that leaves a team idle, the groups of `heads` heads) so that a tile stays in cache."""
        step = max(1, _TILE_NUMBERS // max(1, groups * heads * self.height * self.keys))
        batches = [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
        shares = parts(range(groups)) if len(batches) < size() else [range(groups)]
        return [(batch, slice(share[0], share[-1] + 1)) for batch in batches for share in shares]

    @property
    def may_be_empty(self) -> bool:
        """Whether a query can be left with nothing to look at."""
        return self.mask.key_padding is not None or self.queries > self.keys


def tiles(queries: int, keys: int, mask: Mask) -> Tiles:
    """Tiles for a batch whose scores are kept: as many rows as a good matrix product needs."""
    return Tiles(queries, keys, mask, max(1, queries if queries <= 64 else 64 if queries <= 512 else 128))


def slim_tiles(queries: int, keys: int, mask: Mask) -> Tiles:
    """Tiles of which a single head's fills the cache."""
    seen = min(keys, mask.window or keys)
    return Tiles(queries, keys, mask, max(1, min(queries, 128, max(16, _TILE_NUMBERS // max(1, seen)))))
