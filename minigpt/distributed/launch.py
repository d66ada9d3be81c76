"""Who started this process: nobody in particular, or a launcher of MPI that started several, and which of them it is.

Launchers say so in the environment, so that nothing of MPI is imported where there is nothing to it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any, NamedTuple, NoReturn

_VARIABLES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI, srun --mpi=pmi2
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),  # srun --mpi=pmix
)
LOCAL = "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"  # the number among those of this machine
_LATER = 1.0, 0.75, 8.0  # seconds that other ranks leave rank 0 to speak first, each one those before it, and at most


_ABORTED = 3.0  # seconds that MPI has to end all
_HEARD = 0.3  # seconds that a launcher needs to pass on what was said, which it drops when all end
joined: Any = None  # the communicator of all ranks, once MPI has brought them together


class Launched(NamedTuple):
    """The number of this process, and of how many."""

    rank: int
    size: int


def launched() -> Launched:
    """What the environment says: 0 of 1 where there is no launcher."""
    for rank, size in _VARIABLES:
        if os.environ.get(rank, "").isdecimal() and os.environ.get(size, "").isdecimal():
            return Launched(int(os.environ[rank]), int(os.environ[size]))
    return Launched(0, 1)


def by_open_mpi() -> bool:
    """Whether it was Open MPI's `mpiexec`: another MPI would end in its own words, or find itself alone."""
    return _VARIABLES[0][0] in os.environ


def quiet() -> None:
    """Let rank 0 alone speak: what other ranks print goes nowhere."""
    if launched().rank:
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def end(sentence: str, status: int) -> NoReturn:
    """Say why this rank ends, unless another one says so first, and end at once, which ends all.

    Where all of them fail alike, the first one's sentence is enough, and the others are ended before they speak.
    """
    rank, told = launched().rank, sys.__stderr__ or sys.stderr
    if joined is None:
        speaks = all(os.environ.get(name, "0") == "0" for name in LOCAL)  # what is missing is missing on a machine
        if speaks:
            print(sentence, file=told, flush=True)
        time.sleep(_HEARD if speaks else _LATER[2])
        os.kill(os.getpid(), signal.SIGTERM)  # those who still wait for this one in MPI are ended for a signal alone
    if rank:
        time.sleep(min(_LATER[0] + _LATER[1] * (rank - 1), _LATER[2]))
    print(sentence, file=told, flush=True)
    time.sleep(_HEARD)
    threading.Timer(_ABORTED, os._exit, (status,)).start()  # where a network is gone, ending all may take for ever
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI would add a line of its own
    joined.Abort(status)
    os._exit(status)
