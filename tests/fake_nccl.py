"""A stand-in for NCCL beside the one for CuPy: ranks are threads of this process, and nothing arrives before its time.

It is stricter than NCCL: what is sent or received outside a group, in the stream that computes, or before that stream
was waited for, is an error and no luck. What is received stands in its array only once somebody has asked the event
behind it. What it cannot show: speed, and NCCL's own errors.
"""

from __future__ import annotations

import ctypes
import queue
import threading
import types
import uuid
from collections import defaultdict

_SIZES = {7: 4, 8: 8}  # of ncclFloat32 and ncclFloat64
_group = threading.local()
_queues: dict[tuple[bytes, int, int], queue.SimpleQueue] = defaultdict(queue.SimpleQueue)


class Stream:
    """The order in which transfers happen; number 0 is the one that computes."""

    def __init__(self, non_blocking=False, ptr=None):
        assert non_blocking or ptr == 0, "a stream that waits for the computing one at every turn overlaps with nothing"
        self.ptr = id(self) if ptr is None else ptr
        self.waited, self.pending = False, []
        _STREAMS[self.ptr] = self

    def wait_event(self, event):
        assert event.recorded, "an event that was never recorded"
        self.waited = True

    def synchronize(self):
        pass

    def work(self):
        """Receive what has come, in order; whether nothing is left."""
        while self.pending:
            place, size, kind, box = self.pending[0]
            try:
                content, sent = box.get_nowait()
            except queue.Empty:
                return False
            assert (len(content), sent) == (size, kind), f"{len(content)} bytes of kind {sent} for {size} of {kind}"
            ctypes.memmove(place, content, size)
            self.pending.pop(0)
        return True


_STREAMS: dict[int, Stream] = {}


class Event:
    """A place in a stream: reached when everything before it is done."""

    recorded, stream = False, None

    def record(self, stream=None):
        self.recorded, self.stream = True, stream

    @property
    def done(self):
        return self.stream is None or self.stream.work()


class NcclCommunicator:
    def __init__(self, ndev, commId, rank):
        assert isinstance(commId, bytes) and len(commId) == 128 and 0 <= rank < ndev
        self.size, self.id, self.rank, self.aborted = ndev, commId, rank, False

    def send(self, sendbuf, count, datatype, peer, stream):
        self._call(peer, stream)
        content = ctypes.string_at(sendbuf, count * _SIZES[datatype])
        _group.calls.append((stream, lambda: _queues[self.id, self.rank, peer].put((content, datatype))))

    def recv(self, recvbuf, count, datatype, peer, stream):
        self._call(peer, stream)
        pending = (recvbuf, count * _SIZES[datatype], datatype, _queues[self.id, peer, self.rank])
        _group.calls.append((stream, lambda: _STREAMS[stream].pending.append(pending)))

    def _call(self, peer, stream):
        assert getattr(_group, "calls", None) is not None, "outside of a group, two ranks that send first wait forever"
        assert 0 <= peer < self.size and not self.aborted
        assert stream != 0 and _STREAMS[stream].waited, "what is sent may not be computed yet"

    def check_async_error(self):
        return 0

    def abort(self):
        self.aborted = True


def group_start():
    assert getattr(_group, "calls", None) is None
    _group.calls = []


def group_end():
    calls, _group.calls = _group.calls, None
    for _, call in calls:
        call()
    for stream in {stream for stream, _ in calls}:
        _STREAMS[stream].waited = False


nccl = types.SimpleNamespace(
    available=True,
    NCCL_FLOAT32=7,
    NCCL_FLOAT64=8,
    NcclCommunicator=NcclCommunicator,
    get_unique_id=lambda: (uuid.uuid4().bytes * 8)[:128],
    groupStart=group_start,
    groupEnd=group_end,
)


def install(cupy, monkeypatch) -> None:
    """Give the stand-in for CuPy streams, events that are reached later, and NCCL."""
    computing = Stream(ptr=0)
    for name, value in {"nccl": nccl, "Stream": Stream, "Event": Event}.items():
        monkeypatch.setattr(cupy.cuda, name, value, raising=False)
    monkeypatch.setattr(cupy.cuda, "get_current_stream", lambda: computing)
