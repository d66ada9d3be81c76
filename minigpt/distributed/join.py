"""How the processes that a launcher started find each other, and make sure that they are alike."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

from minigpt.core.errors import UserError
from minigpt.distributed import launch
from minigpt.distributed.ranks import ALONE, MPIRanks, Ranks, patience


def join(version: str) -> Ranks:
    """The ranks of this run, once all of them are there; `ALONE` where there is no launcher.

    Args:
        version: of minigpt.
    Raises:
        UserError: mpi4py is missing or is of another MPI than the launcher, or a rank has another version.
    """
    told = launch.launched()
    if told.size == 1:
        return ALONE
    try:
        import mpi4py

        mpi4py.rc.initialize, mpi4py.rc.finalize = False, True  # it begins when we know whose it is
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # mpi4py's own where it finds no library of MPI
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            f"this is process {told.rank} of {told.size}, and mpi4py cannot be loaded ({first}); "
            "in the clone, pip install '.[mpi]', or start one process without the launcher"
        ) from None
    vendor, world = MPI.get_vendor()[0], MPI.COMM_WORLD
    if launch.by_open_mpi() and vendor in ("MPICH", "Intel MPI"):
        raise _mixed(f"Open MPI started this process, and mpi4py has {vendor}")
    if not MPI.Is_initialized():
        MPI.Init_thread(MPI.THREAD_FUNNELED)  # one thread calls MPI, so MPI needs no locks
    if (world.Get_rank(), world.Get_size()) != told:
        raise _mixed(f"the launcher started {told.size} processes, but MPI ({vendor}) sees {world.Get_size()}")
    launch.joined = world
    ranks = MPIRanks(world.Dup(), MPI, patience())
    versions = {"minigpt": version, "NumPy": np.__version__, "Python": platform.python_version()}
    check_same(ranks, versions, "starting")
    return ranks


def _mixed(how: str) -> UserError:
    return UserError(f"{how}: mpiexec and mpi4py are of different MPIs; keep one of them in the environment")


def check_same(ranks: Ranks, values: dict[str, Any], doing: str) -> None:
    """Raise UserError on all ranks if one has something else than rank 0, by name."""
    every = ranks.all(values, doing)
    for rank, found in enumerate(every):
        for name, value in every[0].items():
            if found[name] != value:
                said = f": {found[name]} and {value}" if len(f"{found[name]}{value}") < 60 else ""
                raise UserError(f"rank {rank} has another {name} than rank 0{said}; all ranks need the same")
