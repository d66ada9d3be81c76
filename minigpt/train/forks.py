"""Forked copies of this process that work beside it, each with an interpreter, and an interpreter's lock, of its own.

A fork sees everything that stood in memory when it was made, so nothing has to be sent there but what changes from step
to step. Arrays made by `shared_copy` before are not copied at all: what one process writes there, all of them see.
"""

from __future__ import annotations

import ctypes
import mmap
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import numpy as np

from minigpt.errors import UserError

_T = TypeVar("_T")


def can_fork() -> bool:
    """Windows has no fork; macOS has one, which its BLAS does not survive; a daemonic process may have no children."""
    return sys.platform == "linux" and not multiprocessing.current_process().daemon


def shared_zeros(x: np.ndarray) -> np.ndarray:
    """Zeros of x's shape and dtype in memory that this process and its later forks share; untouched, they take none."""
    return np.frombuffer(mmap.mmap(-1, max(1, x.nbytes)), x.dtype, count=x.size).reshape(x.shape)


def shared_copy(x: np.ndarray) -> np.ndarray:
    """A copy of x in such memory."""
    shared = shared_zeros(x)
    shared[...] = x
    return shared


class Forks:
    """A number of forks, each of which answers messages until `close`, or until this process is gone."""

    def __init__(self, count: int, answer: Callable[[int, Any], Any]):
        """Args: `answer(number, message)` is called in fork `number` (from 1 on), and what it returns is sent back."""
        context = multiprocessing.get_context("fork")
        _give_back_freed_memory()
        self._ends: list[Connection] = []
        self._processes = []
        for number in range(1, count + 1):
            ours, theirs = context.Pipe()
            self._ends.append(ours)
            process = context.Process(target=_serve, args=(theirs, list(self._ends), number, answer), daemon=True)
            process.start()
            self._processes.append(process)
            theirs.close()

    def together(self, messages: Sequence[Any], own: Callable[[], _T]) -> list[_T]:
        """Send a message to each fork, call `own` here meanwhile, and return its result and all answers, in order.

        Raises:
            what `own` or a fork's answer raised, the first of them; UserError if a fork is gone.
        """
        for end, message in zip(self._ends, messages, strict=False):
            _send(end, message)
        try:
            first = own()
        finally:  # whatever happens here, no answer may be left over for the next question
            answers = [_receive(end) for end in self._ends[: len(messages)]]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [first, *answers]

    def close(self) -> None:
        """Let all forks end."""
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.join()


def _give_back_freed_memory() -> None:
    """Else every fork keeps a copy of what stood there as soon as this process uses it again."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU library's; others have none
    if trim is not None:
        trim(0)


def _serve(own: Connection, others: Sequence[Connection], number: int, answer: Callable[[int, Any], Any]) -> None:
    """A fork's life."""
    for end in others:  # copies of the first process's ends: while one is open, a pipe does not say that that is gone
        end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of them; the first one decides what it means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with suppress(EOFError, OSError):  # the first process is gone
        while True:
            message = own.recv()
            try:
                result = answer(number, message)
            except Exception as error:
                error.add_note(f"in fork {number}:\n{traceback.format_exc()}")
                result = error
            own.send(result)


def _send(end: Connection, message: Any) -> None:
    try:
        end.send(message)
    except OSError:
        raise _gone() from None


def _receive(end: Connection) -> Any:
    try:
        return end.recv()
    except (EOFError, OSError):
        raise _gone() from None


def _gone() -> UserError:
    return UserError("a process that computed a part of the batch was ended from outside; is there enough memory?")
