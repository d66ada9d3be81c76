"""Ranks that are threads of this process: what `MPIRanks` does over MPI, with copies and a barrier."""

import threading
from concurrent.futures import ThreadPoolExecutor

from minigpt.distributed.ranks import Ranks


class SideBySide(Ranks):
    """One of several threads; `board` is what they share."""

    def __init__(self, rank, board):
        self.rank, self.size, self._board = rank, len(board.values), board

    def all(self, value, doing=""):
        self._board.values[self.rank] = value
        self._board.barrier.wait()
        values = list(self._board.values)
        self._board.barrier.wait()
        return values

    def exchange(self, flat, edges, sources, doing):
        start, stop = edges[self.rank], edges[self.rank + 1]
        return Came([whole[start:stop].copy() for whole in self.all(flat)[:sources]], self)

    def gather(self, flat, edges, doing):
        for rank, whole in enumerate(self.all(flat)):
            if rank != self.rank:
                flat[edges[rank] : edges[rank + 1]] = whole[edges[rank] : edges[rank + 1]]
        return Came([flat], self)


class Came:
    def __init__(self, parts, ranks):
        self.parts = parts
        ranks.all(None)  # all have copied before one goes on

    def advance(self):
        pass

    def wait(self):
        return self.parts


class Board:
    def __init__(self, size):
        self.values, self.barrier = [None] * size, threading.Barrier(size)


def side_by_side(size, work):
    """What `work(ranks)` returns on each of so many ranks."""
    board = Board(size)

    def one(rank):
        try:
            return work(SideBySide(rank, board))
        except BaseException:
            board.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))
