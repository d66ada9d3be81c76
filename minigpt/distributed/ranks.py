"""The ranks of a run, as each of them sees the others: `Alone`, or one of several over MPI.

Every call is collective: all ranks make the same calls in the same order. A rank that waits says what for, so that when
the others do not come, the error names them and what they were at. Waiting is asking again and again, never a call that
only the system could end: a machine that is gone sends nothing, not even an error.
"""

from __future__ import annotations

import itertools
import os
import pickle
import struct
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from minigpt.core.backend import Array, array_module, backend_of
from minigpt.core.errors import UserError
from minigpt.distributed import launch

_T = TypeVar("_T")
_ASK, _HERE = 1, 2  # tags: "do you wait as well?", "I do"
_FRAME = 248  # bytes of a small value, which needs one call
_HOT, _PATIENT = 0.02, 0.0005  # seconds of asking without a break; the shortest breaks afterwards
_SLOWER, _RARELY = 0.001, 0.02  # of the time that it waits, a break is this part; the longest breaks
_STUCK = 16.0  # seconds more than ranks wait for each other: more than the next two together
_ANSWER = 5.0  # seconds for an answer to such a question
_LOWEST = 10.0  # seconds that are left to the first of those that wait, to speak for all


class Transfer(NamedTuple):
    """Large arrays on their way.

    Attributes:
        ranks: those who know how to wait for the request.
        doing: what it is for.
        came: gives what came, once all of it is there.
        kept: what is still read and written meanwhile, and stays alive.
    """

    ranks: Any
    request: Any
    doing: str
    came: Callable[[], Sequence[Array]]
    kept: Any

    def advance(self) -> object:
        """Move them on, without waiting."""
        return self.request.Test()

    def wait(self) -> Sequence[Array]:
        """What came, once all of it is there."""
        self.ranks.wait(self.request, self.doing)
        return self.came()


class Ranks:
    """The only rank of a run, and what every kind of them has to offer."""

    rank, size = 0, 1

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which alone writes and speaks."""
        return self.rank == 0

    def all(self, value: _T, doing: str = "") -> list[_T]:
        """What each rank brings (of what can be pickled), in their order.

        Args:
            doing: what they do before they come here, such as "the passes of step 3". There is no time-out without it.
        Raises:
            UserError: some of them did not come in time.
        """
        return [value]

    def from_first(self, value: _T) -> _T:
        """What rank 0 brings; the others may wait long for it."""
        return self.all(value if self.first else None)[0]  # type: ignore[return-value]

    def any(self, flag: bool, doing: str = "") -> bool:
        """Whether it is true on one of them."""
        return any(self.all(flag, doing))

    def exchange(self, flat: Array, edges: Sequence[int], sources: int, doing: str) -> Transfer:
        """Send flat[edges[r] : edges[r + 1]] to each rank r; what comes are this rank's parts, one of each source.

        Args:
            sources: so many ranks, from 0 on, have something to send.
        """
        raise NotImplementedError

    def gather(self, flat: Array, edges: Sequence[int], doing: str) -> Transfer:
        """Fill `flat` up in place: from each rank r comes flat[edges[r] : edges[r + 1]]."""
        raise NotImplementedError

    def share(self, flat: Array, doing: str) -> None:
        """Overwrite `flat` with rank 0's."""
        if self.size > 1:
            self.gather(flat, [0] + [flat.size] * self.size, doing).wait()


ALONE = Ranks()


class MPIRanks(Ranks):
    """One of several processes of MPI.

    Args:
        comm: a communicator of mpi4py that nobody else uses.
        patience: seconds that ranks wait for others before they give up.
    """

    def __init__(self, comm: Any, mpi: Any, patience: float):
        self._control, self._large, self._mpi, self.patience = comm, comm.Dup(), mpi, patience
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self._call: tuple[float, str] | None = None  # of MPI that is being made: since when, and for what
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """End all if a call does not come back that only asks or begins: some wait inside where a network is gone."""
        while True:
            time.sleep(1.0)
            call = self._call
            if call is not None and call[1] and time.monotonic() - call[0] > self.patience + _STUCK:
                said = f"MPI did not come back in {call[1]}: the others, or the network, are gone"
                launch.end(f"minigpt: error on rank {self.rank}: {said}", 2)

    def all(self, value: _T, doing: str = "") -> list[_T]:
        """Small values need one call, others two: first how long they are, then they."""
        data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        own = np.zeros(8 + _FRAME, np.uint8)
        own[:8] = np.frombuffer(struct.pack("<q", len(data)), np.uint8)
        if len(data) <= _FRAME:
            own[8 : 8 + len(data)] = np.frombuffer(data, np.uint8)
        frames = np.empty((self.size, own.size), np.uint8)
        self.wait(self._control.Iallgather(own, frames), doing)
        sizes = [struct.unpack("<q", frame[:8].tobytes())[0] for frame in frames]
        if max(sizes) <= _FRAME:
            return [pickle.loads(frame[8:].tobytes()) for frame in frames]
        edges = np.cumsum([0, *sizes])
        whole = np.empty(edges[-1], np.uint8)
        sent = np.frombuffer(data, np.uint8)
        self.wait(self._control.Iallgatherv(sent, [whole, (sizes, edges[:-1].tolist())]), doing)
        return [pickle.loads(whole[a:b].tobytes()) for a, b in itertools.pairwise(edges)]

    def exchange(self, flat: Array, edges: Sequence[int], sources: int, doing: str) -> Transfer:
        self._call = time.monotonic(), doing
        host = backend_of(flat).to_host(flat[edges[0] : edges[-1]])
        counts = [b - a for a, b in itertools.pairwise(edges)]
        own = counts[self.rank]
        parts, pieces = np.empty((sources, own), host.dtype), np.split(host, np.cumsum(counts[:-1]))
        others = [rank for rank in range(self.size) if rank != self.rank]
        requests = [self._large.Irecv(parts[rank], rank) for rank in others if rank < sources]
        if self.rank < sources:
            parts[self.rank] = pieces[self.rank]
            requests += [self._large.Isend(pieces[rank], rank) for rank in others]
        self._call = None
        return Transfer(self, _Messages(self._mpi, requests), doing, partial(_parts, parts, flat), host)

    def gather(self, flat: Array, edges: Sequence[int], doing: str) -> Transfer:
        self._call = time.monotonic(), doing
        host = backend_of(flat).to_host(flat[edges[0] : edges[-1]])
        counts, places = [b - a for a, b in itertools.pairwise(edges)], [a - edges[0] for a in edges[:-1]]
        request = self._large.Iallgatherv(self._mpi.IN_PLACE, [host, (counts, places)])
        self._call = None
        return Transfer(self, request, doing, partial(_whole, host, flat[edges[0] : edges[-1]]), host)

    def wait(self, request: Any, doing: str) -> None:
        """Until a request is done.

        Raises:
            UserError: it was not done in time; the message names the ranks that do not wait as well.
        """
        started = time.monotonic()
        self._call = started, doing
        while not request.Test():
            waited = time.monotonic() - started
            if waited < _HOT:
                time.sleep(0)
                continue
            time.sleep(min(max(_PATIENT, _SLOWER * waited), _RARELY))
            self._call = time.monotonic(), doing
            if self._control.Iprobe(self._mpi.ANY_SOURCE, _ASK):
                self._answer()
            if doing and waited > self.patience and (missing := self._missing(request, doing)):
                self._call = None
                raise UserError(missing)
        self._call = None

    def _answer(self) -> None:
        """Tell a rank that asks that this one waits as well."""
        status = self._mpi.Status()
        self._control.Recv(np.empty(1, np.uint8), self._mpi.ANY_SOURCE, _ASK, status)
        self._control.Isend(np.zeros(1, np.uint8), status.Get_source(), _HERE)

    def _missing(self, request: Any, doing: str) -> str:
        """Ask all others whether they wait; a sentence about those who do not answer, none if they came after all."""
        others, token = {r for r in range(self.size) if r != self.rank}, np.zeros(1, np.uint8)
        kept = [self._control.Isend(token, other, _ASK) for other in sorted(others)]
        end, status = time.monotonic() + _ANSWER, self._mpi.Status()
        while others and time.monotonic() < end:
            time.sleep(_PATIENT)
            if request.Test():
                return ""
            if self._control.Iprobe(self._mpi.ANY_SOURCE, _ASK):
                self._answer()
            if self._control.Iprobe(self._mpi.ANY_SOURCE, _HERE, status):
                self._control.Recv(token, status.Get_source(), _HERE)
                others.discard(status.Get_source())
        del kept
        if any(rank not in others for rank in range(self.rank)):
            time.sleep(_LOWEST)
        who = f"rank {min(others)}" if len(others) == 1 else f"the ranks {', '.join(map(str, sorted(others)))}"
        said = f"{who} did not finish {doing}" if others else f"all ranks wait, and nothing comes, in {doing}"
        return f"{said} within {self.patience:g} seconds (MINIGPT_RANK_TIMEOUT), so the run ends at its last checkpoint"


class _Messages:
    """Messages as one request. MPICH's own call for all of them, `Ialltoallv`, takes 100 times as long."""

    def __init__(self, mpi: Any, requests: list[Any]):
        self._mpi, self._requests = mpi, requests

    def Test(self) -> bool:
        return self._mpi.Request.Testall(self._requests)


def _parts(parts: np.ndarray, like: Array) -> Sequence[Array]:
    """The parts of an exchange, where the arrays that were sent are."""
    return list(backend_of(like).asarray(parts))


def _whole(host: np.ndarray, target: Array) -> Sequence[Array]:
    """A buffer that was filled up; to a GPU it is copied."""
    if array_module(target) is not np:
        target[...] = backend_of(target).asarray(host)
    return [target]


def patience() -> float:
    """Seconds that ranks wait for each other: MINIGPT_RANK_TIMEOUT, or half an hour.

    Raises:
        UserError: it is no positive number.
    """
    text = os.environ.get("MINIGPT_RANK_TIMEOUT", "1800")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise UserError(f"MINIGPT_RANK_TIMEOUT is {text!r}; it must be a positive number of seconds")
    return seconds
