"""A team of threads inside one pass: where a batch has fewer rows than there are threads, features, heads and blocks of
rows are shared out instead.

Training's workers form the team, or a pass that is made alone; operations only ask. BLAS has one thread while there is
a team, and its products are cut here: BLAS's own threads go on spinning for milliseconds after a product, on cores that
the team then needs, and where another program has a core they wait for each other by spinning too.

Work is cut finer than there are members, and whoever is free takes the next piece. So nobody waits for a member that
has not begun, nor long for a slow one. How work is cut depends on the team's size alone, never on who does what, and
sums are made in the order of the pieces: the bits are the same every time.
"""

from __future__ import annotations

import contextvars
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from minigpt.core.cores import available_cores

_LEAST_WORK = 1 << 18  # numbers below which waking a thread costs more than it saves
_PIECES = 4  # of a product, for each member
_LEAST_PIECE = 64  # columns or rows of a product: a narrower piece costs BLAS too much
_T = TypeVar("_T")


class _Team(NamedTuple):
    executor: ThreadPoolExecutor | None
    size: int


_NOBODY = _Team(None, 1)
_team = contextvars.ContextVar("team", default=_NOBODY)  # each thread that begins a pass has its own


@contextmanager
def formed(executor: ThreadPoolExecutor, size: int) -> Iterator[None]:
    """While this lasts, `each` and `product` share their work among `size` threads. BLAS must be limited to one."""
    token = _team.set(_Team(executor, size))
    try:
        yield
    finally:
        _team.reset(token)


@contextmanager
def of_all_cores() -> Iterator[None]:
    """A team for a pass that no worker makes: of all cores, but of no more threads than BLAS is allowed."""
    blas = _blas()
    members = min(_cores(), max((lib["num_threads"] for lib in blas.info()), default=1))
    if members < 2 or _team.get().executor is not None:
        yield
        return
    with (
        blas.limit(limits=1),
        ThreadPoolExecutor(members, thread_name_prefix="team") as executor,
        formed(executor, members),
    ):
        yield


@cache
def _blas() -> ThreadpoolController:
    """Finding the libraries takes milliseconds, so it is done once."""
    return ThreadpoolController().select(user_api="blas")


@cache
def _cores() -> int:
    """Asking the system takes as long as a small pass."""
    return available_cores()


def size() -> int:
    """How many members the team has; 1 when there is none."""
    return _team.get().size


def parts(items: Sequence[_T], count: int | None = None) -> list[Sequence[_T]]:
    """The items in `count` consecutive parts, by default as many as the team has members (or as there are items)."""
    count = size() if count is None else count
    edges = [len(items) * i // count for i in range(count + 1)]
    return [items[a:b] for a, b in itertools.pairwise(edges) if b > a]


def each(items: Sequence[_T], function: Callable[[_T], object], *, work: int) -> None:
    """Call `function` on every item, in the team's threads if there is a team and `work` numbers are worth it.

    The items must not touch each other's results.
    """
    executor, members = _team.get()
    if executor is None or work < _LEAST_WORK or len(items) < 2:
        for item in items:
            function(item)
        return
    left = deque(items)

    def take() -> None:
        while left:
            try:
                item = left.popleft()
            except IndexError:  # another one was quicker
                return
            function(item)

    helpers = min(members, len(items), 1 + work // _LEAST_WORK) - 1
    # each with the caller's context: how NumPy treats overflow is part of it
    waiting = [executor.submit(contextvars.copy_context().run, take) for _ in range(helpers)]
    try:
        take()
    finally:
        left.clear()  # after an error nobody begins another piece
        begun = [future for future in waiting if not future.cancel()]  # who has not begun finds nothing to do
        errors = [error for future in begun if (error := future.exception()) is not None]
    if errors:
        raise errors[0]


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """out = a b for matrices, in pieces of its columns (or, where it is tall, of its rows)."""
    members = size()
    if members == 1:
        return np.matmul(a, b, out=out)
    wide = out.shape[1] >= out.shape[0]

    def part(piece: Sequence[int]) -> None:
        cut = slice(piece[0], piece[-1] + 1)
        if wide:
            np.matmul(a, b[:, cut], out=out[:, cut])
        else:
            np.matmul(a[cut], b, out=out[cut])

    longer = max(out.shape)
    pieces = max(members, min(_PIECES * members, longer // _LEAST_PIECE))
    each(parts(range(longer), pieces), part, work=out.size * a.shape[1] // 64)  # a product counts for its sums
    return out
