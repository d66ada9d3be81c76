"""How loops are compiled: by Numba, once for each machine, and kept on disk.

A loop holds no lock of the interpreter, so the team's threads and a training run's threads run loops side by side;
Numba starts no threads of its own. What is compiled depends on the processor (how many numbers it takes at a time), so
sums, whose order depends on it, are bit for bit the same on one machine only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba

from minigpt.core.errors import UserError
from minigpt.core.files import cache_folder

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Sums may be made in any order, which is what lets a loop take several numbers at a time, and x y + z be rounded once.
# That NaN and ∞ do not occur is never assumed: a loss that is not finite must be seen.
config: Any = numba.config
FAST_MATH = {"reassoc", "contract", "arcp", "nsz"}


def _folder() -> Path | None:
    """Where compiled loops are kept: $NUMBA_CACHE_DIR, or the package's cache; None where nothing can be written.

    It is named by the loops' source: Numba itself would miss a change in a function that a loop calls.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    try:
        top = Path(config.CACHE_DIR) if config.CACHE_DIR else cache_folder() / "loops"
        folder = top / digest
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, UserError):
        return None
    return folder if os.access(folder, os.W_OK) else None


FOLDER = _folder()


def is_kept() -> bool:
    """Whether loops were compiled here before."""
    return FOLDER is not None and any(FOLDER.rglob("*.nbi"))


def compiled(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """The function as machine code, made when it is first called with arguments of some types."""
    own = config.CACHE_DIR
    config.CACHE_DIR = str(FOLDER or own)
    try:
        return numba.njit(cache=FOLDER is not None, nogil=True, fastmath=FAST_MATH, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = own


def inlined(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """The function as a part of the loops that call it. It has no code of its own, so its sums have one order only."""
    return numba.njit(inline="always")(function)
