"""Dropout (Srivastava et al. 2014), inverted: what survives is scaled up, so evaluation needs no change.

Which entries fall is a pure function of (seed, step, site, row of the global batch, entry): a counter-based generator,
with no state to carry. So one, two or four shards of a batch drop the same entries, and a run that resumes, or a pass
that recomputes, draws what it drew before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from minigpt.core.backend import Array, array_module
from minigpt.ops._common import Out, deliver

_MASK64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15  # the increment and the two multipliers of SplitMix64 (Steele, Lea & Flood 2014)
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB


class DropoutKey(NamedTuple):
    """Names one draw: the run's seed, the training step, the place in the model, the first row's global number.

    `position` is where x (B, T, …) starts in its rows, if it is a part of their positions.
    """

    seed: int
    step: int
    site: int
    row: int
    position: int = 0


class DropoutCache(NamedTuple):
    multiplier: Array | None  # 0 or 1/(1 − rate) for every entry; None when nothing was dropped


def dropout_states(key: DropoutKey, rows: Iterable[int]) -> list[int]:
    """Where the generators of these rows of a batch start: SplitMix64 takes in one part of the name after the other."""
    states = []
    for row in rows:
        state = 0
        for part in (key.seed, key.step, key.site, key.row + row):
            z = (state + part + 1) * GOLDEN & _MASK64
            z = ((z ^ (z >> 30)) * MIX_1) & _MASK64
            z = ((z ^ (z >> 27)) * MIX_2) & _MASK64
            state = z ^ (z >> 31)
        states.append(state)
    return states


def drop_threshold(rate: float) -> int:
    """An entry falls if its 32-bit draw is below this."""
    return min(round(rate * 2**32), 2**32 - 1)


def dropout_multiplier(x: Array, rate: float, key: DropoutKey) -> Array:
    """Return 0 (with probability `rate`) or 1/(1 − rate) for every entry of x (B, …), in x's dtype."""
    xp = array_module(x)
    count = x[0].size if len(x) else 0  # of a row's entries
    first = key.position * (count // max(x.shape[1], 1)) if key.position else 0
    states = xp.asarray(dropout_states(key, range(len(x))), dtype=xp.uint64)  # (B,)
    counters = xp.arange(first // 2, (first + count + 1) // 2, dtype=xp.uint64)  # one 64-bit draw serves two entries
    z = states[:, None] + counters * xp.uint64(GOLDEN)  # SplitMix64 on every counter, modulo 2^64
    z ^= z >> xp.uint64(30)
    z *= xp.uint64(MIX_1)
    z ^= z >> xp.uint64(27)
    z *= xp.uint64(MIX_2)
    z ^= z >> xp.uint64(31)
    draws = z.view(xp.uint32)[:, first % 2 : first % 2 + count]  # (B, count): 32 bits decide
    kept = (draws >= xp.uint32(drop_threshold(rate))) * xp.asarray(1.0 / (1.0 - rate), dtype=x.dtype)
    return kept.reshape(x.shape)


def dropout_slice(rate: float, key: DropoutKey, row: int, first: int, count: int, dtype: DTypeLike) -> np.ndarray:
    """The part of `dropout_multiplier` for entries first … first + count − 1 of one row, (count,), on the CPU."""
    return dropout_multiplier(np.empty((1, count), dtype), rate, key._replace(row=key.row + row, position=first))[0]


def dropout_forward(x: Array, rate: float, key: DropoutKey | None, *, out: Out = None) -> tuple[Array, DropoutCache]:
    """y = m x with m ∈ {0, 1/(1 − rate)}; E[y] = x.

    Args:
        x: (B, …), whose first axis is rows of the global batch.
        rate: the probability that an entry is dropped, 0 ≤ rate < 1.
        key: names the draw; None (evaluation) or rate 0 passes x through.
    Raises:
        ValueError: the rate is not in [0, 1).
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"dropout rate {rate} is not in [0, 1)")
    if rate == 0.0 or key is None:
        return deliver(x, out), DropoutCache(None)
    multiplier = dropout_multiplier(x, rate, key)
    return deliver(x * multiplier, out), DropoutCache(multiplier)


def dropout_backward(dy: Array, cache: DropoutCache, *, out: Out = None) -> Array:
    """dx = m dy, with the m of the forward pass (never the output, which is 0 wherever x was)."""
    return deliver(dy if cache.multiplier is None else dy * cache.multiplier, out)
