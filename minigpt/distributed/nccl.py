"""Large arrays from GPU to GPU over NCCL; small values, errors and who is there stay with MPI.

NCCL only sends and receives here: parts are added by our own kernels, in the run's order, so its algorithms change no
bit. Its calls return at once and work in a stream: that waits for the stream that computes before it reads, and the
other way round before what came is read. NCCL gives up by itself never, so waiting is asking, with our own time-out.
"""

from __future__ import annotations

import itertools
import os
import platform
import time
from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Any, TypeVar

from minigpt.core.backend import Array, array_module, get_backend
from minigpt.core.errors import UserError
from minigpt.distributed.launch import LOCAL
from minigpt.distributed.ranks import MPIRanks, Ranks, Transfer

_T = TypeVar("_T")
_PAUSE = 0.0001  # seconds between two questions


class NCCLRanks(Ranks):
    """Ranks with a GPU each.

    Args:
        control: the same ranks over MPI.
    """

    def __init__(self, control: MPIRanks, cupy: ModuleType):
        self.control, self.rank, self.size, self._cupy, nccl = control, control.rank, control.size, cupy, cupy.cuda.nccl
        self._nccl = nccl
        unique = control.from_first(nccl.get_unique_id() if control.first else None)
        self._comm = nccl.NcclCommunicator(self.size, unique, self.rank)
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._types = {"float32": nccl.NCCL_FLOAT32, "float64": nccl.NCCL_FLOAT64}

    def all(self, value: _T, doing: str = "") -> list[_T]:
        return self.control.all(value, doing)

    def exchange(self, flat: Array, edges: Sequence[int], sources: int, doing: str) -> Transfer:
        own = edges[self.rank + 1] - edges[self.rank]
        parts = self._cupy.empty((sources, own), flat.dtype)
        pieces = [flat[a:b] for a, b in itertools.pairwise(edges)]
        sends = [(piece, rank) for rank, piece in enumerate(pieces) if self.rank < sources]
        receives = [(part, rank) for rank, part in enumerate(parts)]
        return self._start(sends, receives, list(parts), flat, doing)

    def gather(self, flat: Array, edges: Sequence[int], doing: str) -> Transfer:
        pieces = [flat[a:b] for a, b in itertools.pairwise(edges)]
        others = [rank for rank in range(self.size) if rank != self.rank]
        sends, receives = [(pieces[self.rank], rank) for rank in others], [(pieces[rank], rank) for rank in others]
        return self._start(sends, receives, [flat], flat, doing)

    def _start(self, sends: Any, receives: Any, came: list[Array], kept: Array, doing: str) -> Transfer:
        """Let the stream of transfers send and receive once what is computed by now is there."""
        ready = self._cupy.cuda.Event()
        ready.record(self._cupy.cuda.get_current_stream())
        self._stream.wait_event(ready)
        self._nccl.groupStart()
        for call, arrays in ((self._comm.send, sends), (self._comm.recv, receives)):
            for x, rank in arrays:
                if x.size:
                    call(x.data.ptr, x.size, self._types[x.dtype.name], rank, self._stream.ptr)
        self._nccl.groupEnd()
        done = self._cupy.cuda.Event()
        done.record(self._stream)
        return _OnDevice(self, done, doing, partial(list, came), kept)

    def wait(self, event: Any, doing: str) -> None:
        """Until an event has come, and let the computing stream wait for it as well.

        Raises:
            UserError: NCCL says that something is wrong, or it was not done in time.
        """
        end = time.monotonic() + self.control.patience
        while not event.done:
            error = self._comm.check_async_error()
            if error or time.monotonic() > end:
                self._comm.abort()
                what = f"NCCL's error {error}" if error else f"nothing came for {self.control.patience:g} seconds"
                raise UserError(f"{what} in {doing}, so the run ends at its last checkpoint")
            time.sleep(_PAUSE)
        self._cupy.cuda.get_current_stream().wait_event(event)


class _OnDevice(Transfer):
    """Arrays on their way from GPU to GPU, which goes on by itself."""

    def advance(self) -> object:
        return None


def on_device(ranks: Ranks, backend: str) -> Ranks:
    """Ranks as they exchange arrays of a backend: over NCCL where each has a GPU of its own, or else over MPI.

    A rank takes the GPU of its number among the ranks of its machine.
    """
    if backend != "cupy" or not isinstance(ranks, MPIRanks):
        return ranks
    cupy = get_backend("cupy").xp
    local = next((int(os.environ[name]) for name in LOCAL if name in os.environ), ranks.rank)
    device = local % cupy.cuda.runtime.getDeviceCount()
    cupy.cuda.Device(device).use()
    available = bool(getattr(cupy.cuda.nccl, "available", False))
    places = ranks.all((platform.node(), device, available))
    apart = len({place[:2] for place in places}) == ranks.size
    return NCCLRanks(ranks, cupy) if apart and all(place[2] for place in places) else ranks


def engine(ranks: Ranks, flat: Array) -> str:
    """How large arrays travel, in words."""
    if isinstance(ranks, NCCLRanks):
        return "NCCL"
    return "MPI" if array_module(flat).__name__ == "numpy" else "MPI, through the CPU's memory"
