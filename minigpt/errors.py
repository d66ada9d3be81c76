"""The one exception that stands for a mistake its reader can mend: bad input, not a bug in minigpt."""


class UserError(Exception):
    """One sentence that says what is wrong, where, and what to do; the command line prints it and exits with 2."""
