"""For notebooks: a command line in a cell, as in a terminal; and what the project made for them."""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path

from minigpt.cli import main
from minigpt.core.errors import UserError


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


def project_data(name: str) -> Path:
    """The path of something in the project's folder data/, such as "checkpoints/tiny".

    It is looked for beside the package, and in the folder that the notebook runs in and those above it.

    Raises:
        UserError: it is in none of them.
    """
    here = Path.cwd()
    for folder in (Path(__file__).resolve().parents[2], here, *here.parents):
        if (found := folder / "data" / name).exists():
            return found
    raise UserError(f"data/{name} is not there: run the notebook in a copy of the project (git clone), which has it")
