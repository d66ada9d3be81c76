"""A team of threads inside one pass: where a batch has fewer rows than there are threads, features, heads and blocks of
rows are shared out instead.

The pool of shards forms the team; operations only ask. BLAS has one thread while there is a team, and its products are
cut here: BLAS's own threads go on spinning for milliseconds after a product, on cores that the team then needs. Every
member's part is fixed by its number, so that sums are made in the same order every time.
"""

from __future__ import annotations

import contextvars
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

_LEAST_WORK = 1 << 18  # numbers below which waking a thread costs more than it saves
_T = TypeVar("_T")


class _Team:
    executor: ThreadPoolExecutor | None = None
    size = 1


_team = _Team()


@contextmanager
def formed(executor: ThreadPoolExecutor, size: int) -> Iterator[None]:
    """While this lasts, `each` and `product` share their work among `size` threads. BLAS must be limited to one."""
    _team.executor, _team.size = executor, size
    try:
        yield
    finally:
        _team.executor, _team.size = None, 1


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
    # each with the caller's context: how NumPy treats overflow is part of it
    waiting = [executor.submit(contextvars.copy_context().run, run, part) for part in others]
    run(mine)
    for future in waiting:
        future.result()


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """out = a b for matrices, a part of the columns (or, in a tall result, of the rows) for each of the team."""
    if _team.executor is None:
        return np.matmul(a, b, out=out)
    wide = out.shape[1] >= out.shape[0]

    def part(piece: range) -> None:
        cut = slice(piece[0], piece[-1] + 1)
        if wide:
            np.matmul(a, b[:, cut], out=out[:, cut])
        else:
            np.matmul(a[cut], b, out=out[cut])

    each(parts(range(max(out.shape))), part, work=out.size * a.shape[1] // 64)  # a product counts for its sums
    return out
