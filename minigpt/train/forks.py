"""Forked copies of this process that work beside it, each with an interpreter, and an interpreter's lock, of its own.

A fork sees everything that stood in memory when it was made, so nothing has to be sent there but what changes from step
to step. Arrays made by `shared_zeros` or `shared_copy` before are never copied: what one writes there, all see.
"""

from __future__ import annotations

import copy
import ctypes
import mmap
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import util
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import numpy as np

from minigpt.core.errors import UserError

_T = TypeVar("_T")
_PR_SET_PDEATHSIG = 1  # prctl's number for "send me this signal when who made me ends"


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
    """Forks, each of which answers messages until `close`, or until the thread that made them is gone."""

    def __init__(self, answers: Sequence[Callable[[Any], Any]]):
        """Args: each of `answers` is called with messages in a fork of its own; what it returns is sent back."""
        context = multiprocessing.get_context("fork")
        _give_back_freed_memory()
        self._ends: list[Connection] = []
        processes = []
        for number, answer in enumerate(answers, start=1):
            ours, theirs = context.Pipe()
            self._ends.append(ours)
            process = context.Process(target=_serve, args=(theirs, list(self._ends), number, answer), daemon=True)
            process.start()
            processes.append(process)
            theirs.close()
        # also at the interpreter's end, before multiprocessing waits for processes that do not listen to SIGTERM
        self.close = util.Finalize(self, _end, args=(self._ends, processes), exitpriority=0)

    def together(self, messages: Sequence[Any], own: Callable[[], _T]) -> list[_T]:
        """Send a message to each fork, call `own` here meanwhile, and return its result and all answers, in order.

        Raises:
            what `own` or a fork's answer raised, the first of them; UserError if a fork is gone, and then all are.
        """
        sent = 0
        try:
            for end, message in zip(self._ends, messages, strict=False):
                with self._alive(OSError):
                    end.send(message)  # what cannot be sent is refused as a whole
                sent += 1
            first = own()
        finally:  # whatever happens here, no answer may be left over for the next question
            with self._alive(BaseException):
                answers = [end.recv() for end in self._ends[:sent]]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [first, *answers]

    @contextmanager
    def _alive(self, fatal: type[BaseException]) -> Iterator[None]:
        """End all where one is gone, or for a `fatal` error."""
        try:
            yield
        except fatal as error:
            self.close()
            if not isinstance(error, EOFError | OSError):
                raise
            said = "a process that computed a part of the batch was ended from outside; is there enough memory?"
            raise UserError(said) from None


def _end(ends: Sequence[Connection], processes: Sequence[Any]) -> None:
    """Forks own nothing that would have to be put in order first."""
    for end in ends:
        end.close()
    for process in processes:
        process.kill()
        process.join()


def _give_back_freed_memory() -> None:
    """Else every fork keeps a copy of what stood there as soon as this process uses it again."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU library's; others have none
    if trim is not None:
        trim(0)


def _serve(own: Connection, others: Sequence[Connection], number: int, answer: Callable[[Any], Any]) -> None:
    """A fork's life, which ends with the first process's."""
    # at once, even in the middle of an answer: what that process held locked is held by its forks too
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for end in others:  # and as soon as it hears of it, which it does not while it holds a copy of the pipe's other end
        end.close()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # may go to all processes; the first one decides
        signal.signal(name, signal.SIG_IGN)
    with suppress(EOFError, OSError):
        while True:
            message = own.recv()
            try:
                result = answer(message)
            except Exception as error:
                error.add_note(f"in fork {number}:\n{traceback.format_exc()}")
                _send_error(own, error)
            else:
                own.send(result)


def _send_error(own: Connection, error: Exception) -> None:
    """Send the error, or what it says if it is of a kind that cannot be sent, or not be made again over there."""
    try:
        copy.copy(error)
        own.send(error)
    except Exception:
        own.send(RuntimeError(f"{type(error).__name__}: {error}"))
