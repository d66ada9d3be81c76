"""Read text files piece by piece and write files safely: UTF-8 on every platform, whole or not at all.

Line endings are kept as they are, so that offsets and round trips are exact.
"""

from __future__ import annotations

import codecs
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from minigpt.errors import UserError

PIECE = 1 << 22  # bytes read at a time


def read_pieces(path: str | Path, piece: int = PIECE) -> Iterator[str]:
    """Yield the text of a file in pieces of about `piece` bytes.

    Raises:
        UserError: the file is missing, empty or not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    position = 0
    try:
        with open(path, "rb") as file:
            while data := file.read(piece):
                pending = len(decoder.getstate()[0])
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


def read_text(path: str | Path) -> str:
    """The whole text of a small file; errors as `read_pieces`."""
    return "".join(read_pieces(path))


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a file; a missing, unreadable or empty one is a UserError."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None
    if not data:
        raise UserError(f"{path} is empty")
    return data


def write_atomically(path: str | Path, data: str | bytes) -> Path:
    """Write a file beside `path` and rename it into place: a crash leaves the old file or the new, never half of one.

    Raises:
        UserError: the folder does not exist or cannot be written to.
    """
    path = Path(path)
    content = data.encode("utf-8") if isinstance(data, str) else data
    try:
        handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(beside, 0o666 & ~_umask())
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    return path


def unreadable(path: str | Path, error: OSError) -> UserError:
    """The error for a file that cannot be opened."""
    if isinstance(error, FileNotFoundError):
        return UserError(f"there is no file {path}")
    return UserError(f"cannot read {path}: {error.strerror or error}")


def _not_utf8(path: str | Path, position: int) -> UserError:
    return UserError(f"{path} is not UTF-8 text (first bad byte at position {position})")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
