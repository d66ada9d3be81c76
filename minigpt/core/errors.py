"""What stands for a mistake its reader can mend, the warning beside it, and a hint: not bugs in minigpt."""

import difflib
import warnings
from collections.abc import Iterable

from minigpt.core.terminal import sentence


class UserError(Exception):
    """One sentence that says what is wrong, where, and what to do; the command line prints it and exits with 2.

    It may quote what stands in a file: what a terminal would obey is escaped, what is too long shortened.
    """

    def __init__(self, message: str = ""):
        super().__init__(sentence(message))


class UserNotice(UserWarning):
    """One sentence about something that stops nothing; the command line prints it to stderr and goes on."""


def warn(message: str) -> None:
    """Say something that the user may want to know (see Python's `warnings`)."""
    warnings.warn(sentence(message), UserNotice, stacklevel=3)


def nearest(name: str, known: Iterable[str]) -> str:
    """Which known name is nearest to one that is not among them, or which there are."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
