"""A team of threads inside one pass: where a batch has fewer rows than there are threads, heads and row blocks are
shared out instead.

The trainer forms the team; operations only ask. Every member's part is fixed by its number, so that sums are made in
the same order every time.
"""

from __future__ import annotations

import contextvars
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

_LEAST_WORK = 1 << 18  # numbers below which waking a thread costs more than it saves
_T = TypeVar("_T")


class _Team:
    executor: ThreadPoolExecutor | None = None
    size = 1
    blas: list[Any] = []  # noqa: RUF012 - the process's one team


_team = _Team()


@contextmanager
def formed(executor: ThreadPoolExecutor, size: int) -> Iterator[None]:
    """While this lasts, `each` shares its work among `size` threads, and BLAS has as many outside of it."""
    _team.blas = [lib for lib in ThreadpoolController().lib_controllers if lib.user_api == "blas"]
    before = [lib.num_threads for lib in _team.blas]
    _team.executor, _team.size = executor, size
    _set_blas(size)
    try:
        yield
    finally:
        _team.executor, _team.size = None, 1
        for library, threads in zip(_team.blas, before, strict=True):
            library.set_num_threads(threads)


def _set_blas(threads: int) -> None:
    for library in _team.blas:
        library.set_num_threads(threads)


def size() -> int:
    """How many members the team has; 1 when there is none."""
    return _team.size


def parts(items: Sequence[_T]) -> list[Sequence[_T]]:
    """The items in as many consecutive parts as the team has members (fewer, if there are fewer items)."""
    edges = [len(items) * i // _team.size for i in range(_team.size + 1)]
    return [items[a:b] for a, b in itertools.pairwise(edges) if b > a]


def each(items: Sequence[_T], function: Callable[[_T], object], *, work: int) -> None:
    """Call `function` on every item, in the team's threads if there is a team and `work` numbers are worth it.

    The items must not touch each other's results.
    """
    executor = _team.executor
    if executor is None or work < _LEAST_WORK or len(items) < 2:
        for item in items:
            function(item)
        return

    def run(part: Sequence[_T]) -> None:
        for item in part:
            function(item)

    mine, *others = parts(items)
    _set_blas(1)
    try:
        # each with the caller's context: how NumPy treats overflow is part of it
        waiting = [executor.submit(contextvars.copy_context().run, run, part) for part in others]
        run(mine)
        for future in waiting:
            future.result()
    finally:
        _set_blas(_team.size)
