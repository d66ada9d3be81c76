"""For notebooks: a command line in a cell, as in a terminal."""

from __future__ import annotations

import contextlib
import shlex
import sys

from minigpt.cli import main


def command(line: str) -> None:
    """Run a command such as "minigpt train --steps 100" here; all that it says becomes the cell's output.

    Raises:
        RuntimeError: it is no command of minigpt, or it failed.
    """
    program, *arguments = shlex.split(line)
    if program != "minigpt":
        raise RuntimeError(f"only minigpt can be run, not {program}")
    with contextlib.redirect_stderr(sys.stdout):
        try:
            status = main(arguments)
        except SystemExit as stopped:  # --help, or arguments that do not parse
            status = stopped.code
    if status:
        raise RuntimeError(f"the command ended with {status}: {line}")
