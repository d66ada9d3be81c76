"""Signals that end what a command does at the next good place, and not at once."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from typing import Any

_HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none


@contextlib.contextmanager
def stop_on_interrupt(*numbers: int, said: str = "") -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C, or one of these further signals, has asked to stop; the second of a kind ends the program.

    Args:
        said: what the first one makes us say.
    """
    caught: list[int] = []

    def stop(number: int, frame: Any) -> None:
        if number == _HANGUP:
            _let_go_of_terminal()
        elif number in caught:
            raise KeyboardInterrupt
        caught.append(number)
        if said:
            with contextlib.suppress(OSError):
                print(f"\n{said}", file=sys.stderr)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, *numbers)}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_on_signals() -> contextlib.AbstractContextManager[Callable[[], bool]]:
    """Let Ctrl-C, a polite kill or a closed terminal end training after the step at hand; a second Ctrl-C at once."""
    numbers = [signal.SIGTERM]
    if _HANGUP is not None and signal.getsignal(_HANGUP) != signal.SIG_IGN:  # nohup lets a run outlive its terminal
        numbers.append(_HANGUP)
    said = "finishing this step, then saving (Ctrl-C again stops at once and keeps what was saved before)"
    return stop_on_interrupt(*numbers, said=said)


def _let_go_of_terminal() -> None:
    """It is gone: what is written to it from now on would be an error, and cost the steps since the last checkpoint."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                os.dup2(nowhere, descriptor)
    os.close(nowhere)
