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
from typing import Any, NamedTuple, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from minigpt.core.cores import available_cores

_LEAST_WORK = 1 << 18  # numbers below which waking a thread costs more than it saves
_PIECES = 4  # of a product, for each member
_LEAST_PIECE = 64  # columns or rows of a product: a narrower piece costs BLAS too much
_FEW_THREADS = 4  # that share a single row's product; more leave it to BLAS (two were measured)
_T = TypeVar("_T")


class Team(NamedTuple):
    executor: ThreadPoolExecutor | None
    size: int  # how many members; 1 when there is no team


_NOBODY = Team(None, 1)
TEAM = contextvars.ContextVar("TEAM", default=_NOBODY)  # each thread that begins a pass has its own


@contextmanager
def formed(executor: ThreadPoolExecutor, size: int) -> Iterator[None]:
    """While this lasts, `each` and `product` share their work among `size` threads. BLAS must be limited to one."""
    token = TEAM.set(Team(executor, size))
    try:
        yield
    finally:
        TEAM.reset(token)


@contextmanager
def of_all_cores() -> Iterator[None]:
    """A team for a pass that no worker makes: of all cores, but of no more threads than BLAS is allowed."""
    blas = _blas()
    members = min(_cores(), max((lib["num_threads"] for lib in blas.info()), default=1))
    if members < 2 or TEAM.get().executor is not None:
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


def threads() -> int:
    """How many a product may have: as many as BLAS has, but no more than cores."""
    return min([_cores(), *(library.get_num_threads() for library in _blas().lib_controllers)])


@cache
def _cores() -> int:
    """Asking the system takes as long as a small pass."""
    return available_cores()


def cuts(length: int, count: int) -> list[slice]:
    """0 … length in `count` consecutive parts (or in as many as there are numbers)."""
    edges = [length * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges) if b > a]


def each(function: Callable[..., _T], pieces: Sequence[Sequence[Any]], *same: object, work: int) -> list[_T]:
    """Call function(*piece, *same) for every piece and return the results in their order.

    The team's threads do it if there is a team and `work` numbers are worth it. No piece may touch another's results.
    """
    executor, members = TEAM.get()
    if executor is None or work < _LEAST_WORK or len(pieces) < 2:
        return [function(*piece, *same) for piece in pieces]
    left, results = deque(enumerate(pieces)), dict[int, _T]()
    helpers = min(members, len(pieces), 1 + work // _LEAST_WORK) - 1
    # each with the caller's context: how NumPy treats overflow is part of it
    waiting = [
        executor.submit(contextvars.copy_context().run, _take, left, results, function, same) for _ in range(helpers)
    ]
    try:
        _take(left, results, function, same)
    finally:
        left.clear()  # after an error nobody begins another piece
        begun = [future for future in waiting if not future.cancel()]  # who has not begun finds nothing to do
        errors = [error for future in begun if (error := future.exception()) is not None]
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(pieces))]


def _take(
    left: deque[tuple[int, Sequence[Any]]],
    results: dict[int, _T],
    function: Callable[..., _T],
    same: tuple[object, ...],
) -> None:
    """Take pieces and do them as long as any are left."""
    while left:
        try:
            number, piece = left.popleft()
        except IndexError:  # another one was quicker
            return
        results[number] = function(*piece, *same)


def product(
    a: np.ndarray,
    b: np.ndarray,
    out: np.ndarray,
    *,
    bias: np.ndarray | None = None,
    row: Callable[..., bool] | None = None,
) -> np.ndarray:
    """out = a b + bias for a (…, I) and b (I, O), in pieces of its columns (or, where it is tall, of its rows).

    Args:
        row: what makes the product of a single row, on a few threads, better than BLAS, if it can.
    """
    rows, matrix, members = a.reshape(-1, a.shape[-1]), out.reshape(-1, out.shape[-1]), TEAM.get().size
    if members == 1:
        count = threads()
        if not (row and len(rows) == 1 and count <= _FEW_THREADS and row(rows[0], b, matrix[0], count)):
            _multiply(rows, b, matrix, alone=_cores() <= 2)
        if bias is not None:
            matrix += bias
    else:
        longer = max(matrix.shape)
        pieces = cuts(longer, max(members, min(_PIECES * members, longer // _LEAST_PIECE)))
        if matrix.shape[1] == longer:
            parts = [(rows, b[:, cut], None if bias is None else bias[cut], matrix[:, cut]) for cut in pieces]
        else:
            parts = [(rows[cut], b, bias, matrix[cut]) for cut in pieces]
        each(_piece, parts, work=matrix.size * len(b) // 64)  # a product counts for its sums
    if not out.flags.c_contiguous:  # what was written may be a copy
        out[...] = matrix.reshape(out.shape)
    return out


def _multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray, *, alone: bool = True) -> None:
    """out = a b. One row times a matrix that lies transposed, such as a tied output layer, is made as dot products: one
    thread of OpenBLAS's product reads the matrix half as fast. `alone`: no threads of BLAS would help it.
    """
    if alone and len(a) == 1 and b.flags.f_contiguous and b.shape[1] > 1:
        np.vecdot(b.T, a[0], out=out[0])
    else:
        np.matmul(a, b, out=out)


def _piece(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None, out: np.ndarray) -> None:
    _multiply(a, b, out)
    if bias is not None:
        out += bias
