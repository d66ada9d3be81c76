"""Read text files piece by piece and write files safely: UTF-8 on every platform, whole or not at all.

Line endings are kept as they are, so that offsets and round trips are exact. `cache_folder` is where files are kept.
"""

from __future__ import annotations

import codecs
import contextlib
import fnmatch
import functools
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from minigpt.core import disk
from minigpt.core.errors import UserError
from minigpt.core.reading import open_regular, unreadable

PIECE = 1 << 22  # bytes read at a time
_UNFINISHED = re.compile(r"\.([^/]+)\.unfinished-[\w-]+")  # see `unique`


def cache_folder() -> Path:
    """Where downloads and token shards are kept: $MINIGPT_CACHE, or minigpt in the user's cache folder.

    The folder need not exist: whoever writes there makes it.
    """
    if os.environ.get("MINIGPT_CACHE"):
        return Path(os.environ["MINIGPT_CACHE"])
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minigpt"
    except RuntimeError:
        raise UserError("this user has no home folder for the cache; set MINIGPT_CACHE to a folder") from None


def read_pieces(
    path: str | Path, piece: int = PIECE, *, encoding: str = "utf-8", most: int | None = None, pipes: bool = False
) -> Iterator[str]:
    """Yield the text of a file in pieces of about `piece` bytes, cut anywhere.

    Args:
        encoding: "utf-8", or "utf-8-sig" to drop a byte-order mark at the start.
        most: bytes that the file may have; None: any number.
        pipes: whether it may be a pipe or a device, because the user names it for its text.
    Raises:
        UserError: the file is missing, empty, no regular file or not UTF-8; the message says where.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    position = 0
    try:
        with open(path, "rb") if pipes else open_regular(path, most) as file:
            while data := file.read(piece):
                pending = len(decoder.getstate()[0])  # bytes of a character that the last piece cut in two
                try:
                    yield decoder.decode(data)
                except UnicodeDecodeError as error:
                    raise _not_utf8(path, position - pending + error.start) from None
                position += len(data)
    except OSError as error:
        raise unreadable(path, error) from None
    if not position:
        raise UserError(f"{path} is empty")
    if pending := len(decoder.getstate()[0]):
        raise _not_utf8(path, position - pending)


def read_text(path: str | Path, most: int | None = None, *, pipes: bool = False) -> str:
    """The whole text of a small file; arguments and errors as of `read_pieces`."""
    return "".join(read_pieces(path, most=most, pipes=pipes))


def read_bytes(path: str | Path, most: int | None = None) -> bytes:
    """The bytes of a file; a missing, unreadable or empty one, or one of more than `most` bytes, is a UserError."""
    try:
        with open_regular(path, most) as file:
            data = file.read()
    except OSError as error:
        raise unreadable(path, error) from None
    if not data:
        raise UserError(f"{path} is empty")
    return data


def matching(folder: Path, pattern: str) -> list[Path]:
    """What a folder holds under names of a pattern, in their order; nothing where there is no folder.

    Raises:
        UserError: it may not be read (`Path.glob` takes that for an empty folder).
    """
    try:
        return sorted(folder / name for name in fnmatch.filter(os.listdir(folder), pattern))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"cannot read the folder {folder}: {error.strerror}") from None


def write_atomically(path: str | Path, data: str | bytes | Iterable[bytes]) -> Path:
    """Write a file beside `path` and rename it into place: no reader ever sees half of it, whatever happens.

    A process that is killed meanwhile leaves a hidden file, which `remove_stale` removes.

    Raises:
        UserError: the folder does not exist or cannot be written to (nothing half-written is left behind).
    """
    path = Path(path)
    pieces = [data.encode("utf-8")] if isinstance(data, str) else [data] if isinstance(data, bytes) else data
    beside = unique(path, "unfinished")
    try:
        disk.write(beside, pieces)
        disk.sync(beside)
        disk.replace(beside, path)
    except OSError as error:
        shown = _UNFINISHED.sub(r"\1", str(path))  # as it will be called
        raise UserError(f"cannot write {shown}: {error.strerror or error}") from None
    finally:
        if beside.exists():
            with contextlib.suppress(OSError):
                disk.remove(beside)
    return path


def write_new(path: str | Path, data: bytes | Iterable[bytes]) -> Path:
    """Write a file that is not there yet, whole or not at all.

    Raises:
        UserError: something stands there already, even if it came while we wrote; or it cannot be written.
    """
    path = Path(path)
    with new_folder(path, what="file") as beside:
        whole = write_atomically(beside / path.name, data)
        disk.link(whole, path)  # unlike a renaming, this fails where something stands
    return path


@contextlib.contextmanager
def new_folder(path: str | Path, *, what: str = "folder") -> Iterator[Path]:
    """Give a folder to fill, which then takes its place at `path`, where nothing may stand: whole or not at all.

    Raises:
        UserError: something stands there already, even if it came while the folder was filled; or it cannot be made.
    """
    path = Path(path)
    check_absent(path)
    beside = unique(path, "unfinished")
    try:
        make_folders(path.parent)
        disk.make(beside)
        yield beside
        if what == "folder":
            for folder, _, _ in os.walk(beside):
                disk.sync(Path(folder))
            disk.rename(beside, path)  # fails where something stands that is not an empty folder
            disk.sync(path.parent)
    except OSError as error:
        check_absent(path)
        raise UserError(f"cannot write the {what} {path}: {error.strerror or error}") from None
    finally:
        if beside.exists():
            disk.remove_tree(beside)


def unique(path: Path, why: str) -> Path:
    """A hidden name beside `path` that nobody else takes, on this machine or on another one that sees the folder."""
    return path.with_name(f".{path.name}.{why}-{_numbering()}-{os.getpid()}-{secrets.token_hex(6)}")


@functools.cache
def _numbering() -> str:
    """Names what numbers this process: a machine since it was started, or a container; "" where Linux does not say."""
    try:
        told = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii") + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def remove_stale(folder: Path) -> None:
    """Remove what killed processes left unfinished in a folder, of those alone that are known to be dead.

    A process is dead if nobody has its number any more. What another machine left, another container, or this
    machine before it was started anew, stays: from here nobody can tell whether it is still being written.
    """
    found: list[Path] = []
    with contextlib.suppress(UserError):  # a folder that may be written need not be readable
        found = matching(folder, f".*.unfinished-{_numbering()}-*") if _numbering() else []
    for path in found:
        try:
            os.kill(int(path.name.rsplit("-", 2)[1]), 0)  # asks, and does nothing
        except ProcessLookupError:
            with contextlib.suppress(OSError):
                disk.remove_tree(path) if path.is_dir() else disk.remove(path)
        except (OSError, ValueError, OverflowError):
            continue  # it is another user's, or no name of ours


def make_folders(path: Path) -> None:
    """Make a folder and those above it that are not there; each one's name is on the disk."""
    if not path.is_dir():
        make_folders(path.parent)
        try:
            disk.make(path)
        except FileExistsError:
            if not path.is_dir():  # else another process was quicker
                raise
        disk.sync(path.parent)


def check_absent(path: Path) -> None:
    """Raise UserError if something stands at `path`, before any work is done for it."""
    if path.exists() or path.is_symlink():
        raise UserError(f"{path} exists already, and nothing is ever overwritten; choose another name")


def make_folder(path: Path) -> Path:
    """Make a folder, and those above it, if it is not there.

    Raises:
        UserError: it cannot be made.
    """
    try:
        make_folders(path)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror}") from None
    return path


def _not_utf8(path: str | Path, position: int) -> UserError:
    return UserError(f"{path} is not a UTF-8 text: byte {position} cannot be decoded")
