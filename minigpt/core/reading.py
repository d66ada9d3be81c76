"""Open what may be anybody's file: a regular file of a plausible size, or one sentence; and parse its JSON.

A name in a folder from elsewhere may be a pipe that never ends, a device, or a link to one. So it is opened without
waiting, and looked at before anything is read. A symbolic link is followed (published folders are full of them, into a
cache); what it leads to has to be a regular file like any other.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from minigpt.core.errors import UserError

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def open_regular(path: str | Path, most: int | None = None) -> BinaryIO:
    """Open a regular file for reading its bytes.

    Args:
        most: bytes that it may have (see `minigpt.core.limits`); None: any number.
    Raises:
        UserError: it is missing, cannot be read, is no regular file, or is larger.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except ValueError:  # a name with a zero byte in it
        raise UserError(f"{path!s} cannot be the name of a file") from None
    except OSError as error:
        raise unreadable(path, error) from None
    found = os.fstat(descriptor)
    problem = ""
    if not stat.S_ISREG(found.st_mode):
        problem = f"{path} is {_kind(found.st_mode)}, and a regular file is needed"
    elif most is not None and found.st_size > most:
        problem = f"{path} has {found.st_size:,} bytes, more than the {most:,} that such a file may have"
    if problem:
        os.close(descriptor)
        raise UserError(problem)
    return os.fdopen(descriptor, "rb")


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device, a socket or something else"


def unreadable(path: str | Path, error: OSError) -> UserError:
    """The error for a file that cannot be opened."""
    if isinstance(error, FileNotFoundError):
        return UserError(f"there is no file {path}")
    return UserError(f"cannot read {path}: {error.strerror or error}")


def parse_json(text: str | bytes) -> Any:
    """What a JSON text says. The last of several equal keys counts, as in Python's parser.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        long = "digits" in str(error)  # Python reads no integers of more than 4300 digits
        raise ValueError("one of its numbers has thousands of digits" if long else str(error)) from None
