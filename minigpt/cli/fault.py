"""What is said where minigpt itself is at fault: one sentence, and a report in a file."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Iterator

from minigpt import __version__
from minigpt.core.interrupts import Terminated


def sentence(error: Exception) -> str:
    """What to say of an error that nobody foresaw; its traceback is kept in a file, if there is a place for one."""
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    try:
        lines = [
            f"minigpt {__version__}, Python {platform.python_version()}, {platform.platform()}",
            f"in {os.getcwd()}: {shlex.join(sys.argv)}",  # which may have been removed
            "".join(traceback.format_exception(error)),
        ]
        descriptor, path = tempfile.mkstemp(prefix="minigpt-report-", suffix=".txt")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join(lines))
    except OSError:
        path = ""
    where = f"please report it with the file {path}" if path else "there is no place for a report of it"
    return f"this is a fault of minigpt, not yours ({what}); {where}"


def interrupted(error: BaseException) -> bool:
    """Whether an error comes of Ctrl-C, which libraries that are being imported turn into errors of their own."""
    return any(isinstance(one, (KeyboardInterrupt, Terminated)) for one in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
