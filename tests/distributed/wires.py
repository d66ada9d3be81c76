"""A stand-in for a communicator of mpi4py between threads of this process, which counts the calls that are made of it.

It knows what `MPIRanks` uses and no other call of MPI: a further one is an error that names it.
"""

import threading
from collections import Counter
from types import SimpleNamespace

IN_PLACE = object()


class Wire:
    """One end; `board` is what all ends of one communicator share."""

    def __init__(self, rank, size, board):
        self.rank, self.size, self.board, self.calls, self.sent = rank, size, board, Counter(), Counter()

    def __getattr__(self, name):
        raise AssertionError(f"this step calls {name} of MPI, which nothing here is meant to do")

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return self.size

    def Dup(self):
        with self.board.lock:
            return Wire(self.rank, self.size, self.board.children.setdefault("dup", Board()))

    def Iallgather(self, own, frames):
        return self._gathered("Iallgather", own, lambda every: frames.__setitem__(slice(None), every))

    def Iallgatherv(self, own, whole):
        array, (counts, places) = whole
        pieces = [array[place : place + count] for count, place in zip(counts, places, strict=True)]

        def fill(every):
            for piece, part in zip(pieces, every, strict=True):
                piece[...] = part

        return self._gathered("Iallgatherv", pieces[self.rank] if own is IN_PLACE else own, fill)

    def _gathered(self, name, own, fill):
        self.calls[name] += 1
        self.sent["all"] += 1
        key = "all", self.sent["all"]
        self.board.values[key, self.rank] = own.copy()
        return Request(self.board.values, [(key, rank) for rank in range(self.size)], fill)

    def Isend(self, data, to):
        self.calls["Isend"] += 1
        self.board.values[self._message(self.rank, to)] = data.copy()
        return Request(self.board.values, [], lambda every: None)

    def Irecv(self, data, source):
        self.calls["Irecv"] += 1
        key = self._message(source, self.rank)
        return Request(self.board.values, [key], lambda every: data.__setitem__(slice(None), every[0]))

    def _message(self, source, to):
        """The name of the next message from one to the other."""
        self.sent[source, to] += 1
        return source, to, self.sent[source, to]

    def Iprobe(self, source, tag):
        return False


class Request:
    """Done when all that it waits for is there."""

    def __init__(self, values, keys, fill):
        self.values, self.keys, self.fill = values, keys, fill

    def Test(self):
        if not all(key in self.values for key in self.keys):
            return False
        self.fill([self.values[key] for key in self.keys])
        return True


class Board:
    def __init__(self):
        self.values, self.children, self.lock, self.barrier = {}, {}, threading.Lock(), threading.Barrier(2)


MPI = SimpleNamespace(
    IN_PLACE=IN_PLACE,
    ANY_SOURCE=-1,
    Request=SimpleNamespace(Testall=lambda requests: all([one.Test() for one in requests])),
)
