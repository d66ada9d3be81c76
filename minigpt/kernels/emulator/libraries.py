"""Where compiled kernels are kept: a library is run, so it lies where nobody else writes, and is whole.

Beside each stands its SHA-256. One that is cut would end the process with a signal (SIGBUS) when it is used; what is
not what was compiled here is compiled anew.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from minigpt.core import disk
from minigpt.core.errors import UserError, warn
from minigpt.core.files import cache_folder, make_folder, write_atomically


def compiled_folder() -> Path:
    """The cache folder's own for kernels, which is made private; where that cannot be, a new one of this process."""
    folder = cache_folder() / "emulator"
    try:
        make_folder(folder)
    except UserError as error:
        return _folder_of_this_process(str(error))
    if os.name == "nt":
        return folder
    found = folder.stat()
    if found.st_uid != os.geteuid():
        return _folder_of_this_process(f"{folder} belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o022:
        folder.chmod(0o700)
    return folder if os.access(folder, os.W_OK) else _folder_of_this_process(f"{folder} cannot be written to")


@functools.cache
def _folder_of_this_process(why: str) -> Path:
    warn(f"kernels are compiled anew in each process, because {why}; MINIGPT_CACHE names another folder")
    made = tempfile.TemporaryDirectory(prefix="minigpt-")
    _made.append(made)  # removed at the end
    return Path(made.name)


_made: list[tempfile.TemporaryDirectory[str]] = []


def is_whole(library: Path) -> bool:
    """Whether a library is there and is what was compiled."""
    try:
        kept = library.with_suffix(".sha256").read_text(encoding="ascii")
        return hashlib.sha256(library.read_bytes()).hexdigest() == kept
    except (OSError, ValueError):
        return False


def keep(made: Path, library: Path) -> None:
    """Put a library that was just compiled in its place, where another process may read it at any moment."""
    disk.sync(made)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    disk.replace(made, library)
    write_atomically(library.with_suffix(".sha256"), digest)
