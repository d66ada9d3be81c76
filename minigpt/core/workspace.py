"""Scratch memory that is used again: large arrays without the price of fresh pages.

A fresh large array costs a page fault every 4 kB, more than most operations do on it. So each thread keeps the buffers
it has had and hands one out again as soon as nothing refers to it any more: no cache, no view, no local variable.
CPython counts references, and a view keeps its buffer alive, so a buffer that is still in use can never be handed out
twice, and nothing has to be given back by hand.

Buffers come in sizes of eight steps to a doubling, so that batches of every length (fine-tuning's, scoring's) share a
few of them instead of each keeping its own.
"""

from __future__ import annotations

import math
import sys
import threading
from collections import deque

import numpy as np

_SMALL = 1 << 14  # bytes; below this NumPy's own small-block cache is as quick


class Workspace(threading.local):
    """One pool of buffers for each thread, sorted by size."""

    def __init__(self) -> None:
        self._buffers: dict[int, deque[np.ndarray]] = {}

    def empty(self, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        """Return an uninitialised array that shares memory with nothing that is still in use."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size < _SMALL:
            return np.empty(shape, dtype)
        step = 1 << size.bit_length() - 4
        room = -(-size // step) * step  # size, rounded up to its first four bits
        buffers = self._buffers.setdefault(room, deque())
        for _ in range(len(buffers)):
            buffers.rotate(-1)  # the one that was handed out longest ago comes to the front
            if sys.getrefcount(buffers[0]) == _UNUSED:
                return buffers[0][:size].view(dtype).reshape(shape)
        buffers.appendleft(np.empty(room, np.uint8))
        return buffers[0][:size].view(dtype).reshape(shape)

    def bytes_held(self) -> int:
        """How much memory this thread's pool holds, in use or not."""
        return sum(size * len(buffers) for size, buffers in self._buffers.items())

    def release(self) -> None:
        """Forget this thread's buffers (those in use live on until they no longer are)."""
        self._buffers.clear()


def _references_when_unused() -> int:
    """What getrefcount says of a buffer that only its queue refers to, in this interpreter."""
    buffers = deque([np.empty(1, np.uint8)])
    return sys.getrefcount(buffers[0])


_UNUSED = _references_when_unused()
_workspace = Workspace()
empty = _workspace.empty
bytes_held = _workspace.bytes_held
release = _workspace.release


def empty_like(x: np.ndarray) -> np.ndarray:
    """An uninitialised array of x's shape and dtype, C-contiguous."""
    return empty(x.shape, x.dtype)
