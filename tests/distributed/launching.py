"""Start minigpt on several ranks of MPICH, many runs in one launch or one run that something happens to."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from minigpt.cli import main, train

PROGRAM = Path(__file__).with_name("program.py")


class Ended(NamedTuple):
    """How a launch ended: its exit status, and what was said."""

    status: int
    said: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.said.split("\n") if line.startswith("minigpt: error")]


def environment() -> dict[str, str]:
    """Where MPI's library lies in another folder than this environment's, it has to be named.

    That is mpi4py's, which may only be borrowed, or that of MINIGPT_TEST_MPI, with another MPI to try.
    """
    import mpi4py

    prefix = Path(os.environ.get("MINIGPT_TEST_MPI") or Path(mpi4py.__file__).parents[4])
    library = next(iter(sorted(prefix.glob("lib/libmpi.so.*"))), None)
    names = {"MPI4PY_LIBMPI": str(library)} if prefix != Path(sys.prefix) and library else {}
    path = f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **names, "PATH": path, "OMP_NUM_THREADS": "1"}


def start(
    ranks: int | None, cases: list[dict[str, Any]], folder: Path, *options: str, **variables: str
) -> subprocess.Popen:
    """Start the program on so many ranks, or without a launcher.

    Args:
        cases: each with the `arguments` of a command, and what `program.py` does beside it.
        options: of mpiexec.
    """
    plan = folder / "cases.json"
    plan.write_text(json.dumps(cases))
    launcher = [] if ranks is None else ["mpiexec", *options, "-n", str(ranks)]
    line = [*launcher, sys.executable, str(PROGRAM), str(plan)]
    return subprocess.Popen(
        line, cwd=folder, env=environment() | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that one process of this session fills, while others that need it wait."""
    folder = factory.getbasetemp()
    folder = (folder.parent if os.environ.get("PYTEST_XDIST_WORKER") else folder) / f"once-{name}"
    ended = folder / "ended"
    try:
        folder.mkdir()
    except FileExistsError:
        end = time.monotonic() + 1800
        while not (ended.exists() and ended.read_text()) and time.monotonic() < end:
            time.sleep(0.1)
        assert ended.exists() and ended.read_text() == "well", f"another process did not fill {folder}"
        return folder
    how = "badly"
    try:
        make(folder)
        how = "well"
    finally:
        ended.write_text(how)
    return folder


def is_locked(run: Path) -> bool:
    """Whether a process holds the run: one that ends is in no list any more, but has its files a little longer."""
    with (run / "lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def alone(*arguments: str) -> int:
    """A command of one process, which is this one: the exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_draw_curves", lambda run: None)
        return main(arguments)


def launch(ranks: int | None, cases: list[dict[str, Any]], folder: Path, *options: str, **variables: str) -> Ended:
    """The same, and wait for its end."""
    process = start(ranks, cases, folder, *options, **variables)
    said, _ = process.communicate(timeout=1200)
    return Ended(process.returncode, said)
