"""Threads of this process: evaluation gives each a batch, training a part of one, and a small batch its heads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from minigpt.core import workspace
from minigpt.fast import team

_T = TypeVar("_T")
# For np.errstate: no warnings of numbers that are not finite.
QUIET: dict[str, Any] = {"over": "ignore", "invalid": "ignore", "divide": "ignore"}


class ThreadPool:
    """So many threads, with BLAS limited to one each while they are there (`with ThreadPool(2) as threads`).

    One is the calling thread, and BLAS is left alone.
    """

    def __init__(self, count: int):
        self.count = count
        self._executor: ThreadPoolExecutor | None = None

    def __enter__(self) -> ThreadPool:
        if self.count > 1:
            self._executor = ThreadPoolExecutor(self.count, thread_name_prefix="worker")  # none runs before it is used
            self._limits = threadpool_limits(1, "blas")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._executor = None
            self._limits.restore_original_limits()
            workspace.release()

    def map(self, function: Callable[..., _T], *arguments: Iterable[Any]) -> list[_T]:
        """Apply `function` to the arguments side by side; results come in their order.

        Overflow warnings are off: whether a loss is finite is checked once, where it is summed up.
        """
        work = np.errstate(**QUIET)(function)
        return list((map if self._executor is None else self._executor.map)(work, *arguments))

    def any(self, flag: bool) -> bool:
        """Whether it is true for one of those that work together, which threads of one process always agree on."""
        return flag

    def team(self) -> AbstractContextManager[None]:
        """While this lasts, the operations of one pass share out their work (see `minigpt.fast.team`)."""
        return nullcontext() if self._executor is None else team.formed(self._executor, self.count)
