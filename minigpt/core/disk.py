"""The few calls that change what is on the disk, and the one that waits until it is there.

Everything that a run writes goes through these, so that a test can record it and rebuild what a power cut at any moment
may leave: of a file what was synced, of a folder the names that were synced, and of the rest any part.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path


def write(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file that is not there yet."""
    with open(path, "xb") as file:
        for piece in pieces:
            file.write(piece)


def append(path: Path, data: bytes) -> None:
    """Write at a file's end; make it if it is not there."""
    with open(path, "ab") as file:
        file.write(data)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's list of names, are on the disk.

    Windows, some network file systems, and folders that may be written but not read have no such call for folders.
    """
    folder = path.is_dir()
    if folder and os.name == "nt":
        return
    try:
        descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not folder or error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM):
            raise


truncate = os.truncate  # keep the first so many bytes of a file
make = os.mkdir  # make a folder where nothing stands
rename = os.rename  # give a folder another name, where nothing may stand but an empty folder
replace = os.replace  # give a file another name: what stands there is the old or the new one, never half of it
link = os.link  # give a file one more name, where nothing stands
remove = os.unlink  # remove a file


def remove_tree(path: Path) -> None:
    """Remove a folder and what is in it, as far as that is possible."""
    shutil.rmtree(path, ignore_errors=True)
