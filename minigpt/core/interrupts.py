"""What a signal does to work that cannot be left half done, or that leaves something behind."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Terminated(BaseException):
    """A polite kill (SIGTERM): what a command holds is put away, as after Ctrl-C."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()  # no other may set what a signal does


@contextlib.contextmanager
def raised_when_killed() -> Iterator[None]:
    """A polite kill raises `Terminated`, unless somebody has decided otherwise."""
    if not _is_main() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let Ctrl-C and a polite kill wait until this is done."""
    if not _is_main():
        yield
        return
    came: list[int] = []
    both = signal.SIGINT, signal.SIGTERM
    before = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in both}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came:
            signal.raise_signal(came[0])


@contextlib.contextmanager
def noticed() -> Iterator[list[int]]:
    """Note Ctrl-C and a polite kill before they raise here, for threads that have to end, too."""
    came: list[int] = []
    both = (signal.SIGINT, signal.SIGTERM) if _is_main() else ()
    before = {int(number): handler for number in both if callable(handler := signal.getsignal(number))}

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        before[number](number, frame)

    for number in before:
        signal.signal(number, note)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
