"""Text files in pieces: any number of UTF-8 files, read as one text without ever holding all of it in memory."""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from minigpt.core.errors import UserError
from minigpt.core.files import read_pieces as read_file
from minigpt.core.progress import progress_bar
from minigpt.core.settings import require
from minigpt.data import corpora
from minigpt.tokenizers.pretokens import line_blocks

_PIECE = 1 << 20  # bytes

# What a text of files or documents is given in: a piece of one of them, cut anywhere; None where one ends; and before
# one begins a number of bytes of the file that count as text and are not read, its byte-order mark.
Piece = str | int | None
PieceT = TypeVar("PieceT", bound=Piece)


def resolve_sources(sources: Sequence[str]) -> list[Path]:
    """Turn files, folders and corpus names into the list of text files they stand for.

    A folder stands for all files in it and below it whose names do not start with a dot, in the order of their paths.
    A path that exists goes before a corpus of the same name. Nothing given means the default corpus.

    Raises:
        UserError: something is neither a file, nor a folder with files, nor a known name.
    """
    files: list[Path] = []
    for source in sources or (corpora.DEFAULT,):
        path = Path(source)
        require(bool(source), "--data is empty; name a file, a folder or a corpus")
        if path.is_dir():
            found = _files_below(path)
            require(bool(found), f"the folder {source} contains no files")
            files += found
        elif path.is_file():
            files.append(path)
        elif path.exists():
            raise UserError(f"--data {source} is not a regular file (text is read twice, so a pipe will not do)")
        elif source in corpora.corpus_names():
            files.append(corpora.corpus_file(source))
        else:
            names = ", ".join(corpora.corpus_names())
            raise UserError(f"--data {source} is neither a file, nor a folder, nor a known corpus ({names})")
    return files


def _files_below(folder: Path) -> list[Path]:
    """The files in a folder and below it whose names, and whose folders', do not start with a dot, in their order."""

    def unreadable(error: OSError) -> None:
        raise UserError(f"cannot read the folder {error.filename}: {error.strerror}") from None

    found = []
    for place, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".") and Path(place, name).is_file()]
    return sorted(found)


def read_pieces(files: Sequence[Path]) -> Iterator[str]:
    """Yield the files' text, one after the other, in pieces of whole lines; no line spans two files.

    Line endings stay as they are; a byte-order mark at a file's start is dropped.

    Raises:
        UserError: a file cannot be read or is not UTF-8; the message gives the place.
    """
    for path in files:
        if path.stat().st_size:
            yield from line_blocks(read_file(path, _PIECE, encoding="utf-8-sig"))


def read_with_progress(files: Sequence[Path], what: str) -> Iterator[str]:
    """Yield the same pieces, with a progress bar that says what is being done."""
    return with_progress(read_pieces(files), files, what)


def with_progress(pieces: Iterable[PieceT], files: Sequence[Path], what: str) -> Iterator[PieceT]:
    """Yield the pieces of the files' text, with a progress bar that says what is being done."""
    total = sum(file.stat().st_size for file in files)
    with progress_bar(total=total, desc=what, unit="B", unit_scale=True, leave=False) as bar:
        for piece in pieces:
            yield piece
            if isinstance(piece, str):
                bar.update(len(piece.encode("utf-8")))


def mark_bytes(path: Path) -> int:
    """How many bytes of a file are the byte-order mark that is not read as text: 3 or none."""
    with open(path, "rb") as file:
        return len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0


def whole_files(files: Sequence[Path]) -> Iterator[Piece]:
    """Yield the text of every file with text, cut anywhere. See `Piece`."""
    for path in files:
        if path.stat().st_size:
            if mark := mark_bytes(path):
                yield mark
            yield from read_file(path, _PIECE, encoding="utf-8-sig")
            yield None


def fingerprint(files: Sequence[Path]) -> str:
    """SHA-256 of the files' bytes and lengths, in order: two texts with the same fingerprint are the same."""
    digest = hashlib.sha256()
    try:
        for path in files:
            digest.update(f"{path.stat().st_size};".encode())
            with open(path, "rb") as file:
                while block := file.read(_PIECE):
                    digest.update(block)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    return digest.hexdigest()
