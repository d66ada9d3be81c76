"""The exception that stands for a mistake its reader can mend, and the warning beside it: not bugs in minigpt."""

import warnings


class UserError(Exception):
    """One sentence that says what is wrong, where, and what to do; the command line prints it and exits with 2."""


class UserNotice(UserWarning):
    """One sentence about something that stops nothing; the command line prints it to stderr and goes on."""


def warn(sentence: str) -> None:
    """Say something that the user may want to know (see Python's `warnings`)."""
    warnings.warn(sentence, UserNotice, stacklevel=3)
