"""Start minigpt on several ranks of MPICH, many runs in one launch or one run that something happens to."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

PROGRAM = Path(__file__).with_name("program.py")


class Ended(NamedTuple):
    """How a launch ended: its exit status, and what was said."""

    status: int
    said: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.said.split("\n") if line.startswith("minigpt: error")]


def environment() -> dict[str, str]:
    """Where mpi4py lies in a folder that this environment only borrows, MPI's library has to be named."""
    import mpi4py

    prefix = Path(mpi4py.__file__).parents[4]
    names = {"MPI4PY_LIBMPI": str(prefix / "lib/libmpi.so.12")} if prefix != Path(sys.prefix) else {}
    path = f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **names, "PATH": path, "OMP_NUM_THREADS": "1"}


def start(ranks: int, cases: list[dict[str, Any]], folder: Path, *options: str, **variables: str) -> subprocess.Popen:
    """Start the program on so many ranks.

    Args:
        cases: each with the `arguments` of a command, and what `program.py` does beside it.
        options: of mpiexec.
    """
    plan = folder / "cases.json"
    plan.write_text(json.dumps(cases))
    line = ["mpiexec", *options, "-n", str(ranks), sys.executable, str(PROGRAM), str(plan)]
    return subprocess.Popen(
        line, cwd=folder, env=environment() | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def launch(ranks: int, cases: list[dict[str, Any]], folder: Path, *options: str, **variables: str) -> Ended:
    """The same, and wait for its end."""
    process = start(ranks, cases, folder, *options, **variables)
    said, _ = process.communicate(timeout=240)
    return Ended(process.returncode, said)
