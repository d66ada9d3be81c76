"""Dropout as a loop: the entries of `minigpt.ops.dropout`, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigpt.core import workspace
from minigpt.fast.loops.compiled import compiled
from minigpt.fast.team import each
from minigpt.ops import dropout
from minigpt.ops.dropout import DropoutCache, DropoutKey, drop_threshold, dropout_states

_GOLDEN, _MIX_1, _MIX_2 = (np.uint64(n) for n in (dropout.GOLDEN, dropout.MIX_1, dropout.MIX_2))
_27, _30, _31, _32, _LOW = (np.uint64(n) for n in (27, 30, 31, 32, 2**32 - 1))


@compiled
def _draw(state: np.uint64, counter: int) -> np.uint64:
    """SplitMix64 on a counter: 64 random bits, the lower half for one entry and the upper for the next."""
    z = state + np.uint64(counter) * _GOLDEN
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    return z ^ (z >> _31)


@compiled
def draw_multiplier(out: np.ndarray, state: np.uint64, first: int, threshold: np.uint64, kept: float) -> None:
    """0 for an entry whose 32 bits are below the threshold, `kept` otherwise; `out` begins with entry `first`."""
    zero, kept = out.dtype.type(0), out.dtype.type(kept)
    if out.size == 0:
        return
    odd = first % 2
    if odd:
        out[0] = kept if _draw(state, first // 2) >> _32 >= threshold else zero
    pairs, start = (out.size - odd) // 2, first // 2 + odd
    for pair in range(pairs):
        z = _draw(state, start + pair)
        out[odd + 2 * pair] = kept if z & _LOW >= threshold else zero
        out[odd + 2 * pair + 1] = kept if z >> _32 >= threshold else zero
    if odd + 2 * pairs < out.size:
        out[out.size - 1] = kept if _draw(state, start + pairs) & _LOW >= threshold else zero


def dropout_multiplier(x: np.ndarray, rate: float, key: DropoutKey) -> np.ndarray:
    """See `minigpt.ops.dropout_multiplier`."""
    out = workspace.empty(x.shape, x.dtype)
    states = np.array(dropout_states(key, range(len(x))), np.uint64)
    rows = list(zip(out.reshape(len(x), -1), states, strict=True))
    first = key.position * (x[0].size // x.shape[1]) if key.position else 0
    each(draw_multiplier, rows, first, np.uint64(drop_threshold(rate)), 1.0 / (1.0 - rate), work=x.size)
    return out


def dropout_slice(rate: float, key: DropoutKey, row: int, first: int, count: int, dtype: np.dtype) -> np.ndarray:
    """See `minigpt.ops.dropout.dropout_slice`."""
    out = workspace.empty((count,), dtype)
    state = np.uint64(dropout_states(key, [row])[0])
    draw_multiplier(out, state, first, np.uint64(drop_threshold(rate)), 1.0 / (1.0 - rate))
    return out


def dropout_forward(
    x: np.ndarray, rate: float, key: DropoutKey | None, *, out: np.ndarray | None = None
) -> tuple[np.ndarray, DropoutCache]:
    """See `minigpt.ops.dropout_forward`."""
    if key is None or not 0.0 < rate < 1.0:
        return dropout.dropout_forward(x, rate, key, out=out)
    multiplier = dropout_multiplier(x, rate, key)
    y = np.multiply(x, multiplier, out=workspace.empty(x.shape, x.dtype) if out is None else out)
    return y, DropoutCache(multiplier)


def dropout_backward(dy: np.ndarray, cache: DropoutCache, *, out: np.ndarray | None = None) -> np.ndarray:
    """See `minigpt.ops.dropout_backward`."""
    if cache.multiplier is None:
        return dropout.dropout_backward(dy, cache, out=out)
    return np.multiply(dy, cache.multiplier, out=workspace.empty(dy.shape, dy.dtype) if out is None else out)


PAIR: dict[str, Any] = {"dropout_forward": dropout_forward, "dropout_backward": dropout_backward}
