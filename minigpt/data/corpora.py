"""Corpora by name: the default one, which every Python carries, and small downloads that are checked before use."""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.request
from pathlib import Path
from typing import NamedTuple

from minigpt.errors import UserError
from minigpt.files import make_folder, write_atomically

DEFAULT = "python-reference"


class Download(NamedTuple):
    """A public text file: where it is, how many bytes it has and what their SHA-256 is."""

    url: str
    size: int
    sha256: str
    about: str


DOWNLOADS = {
    "tinyshakespeare": Download(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        1115394,
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "40,000 lines of Shakespeare's plays, the usual first corpus of small character models",
    ),
}


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


def corpus_names() -> list[str]:
    return [DEFAULT, *DOWNLOADS]


def corpus_file(name: str) -> Path:
    """Return the text file of a named corpus, making or downloading it first if need be."""
    return _python_reference() if name == DEFAULT else _downloaded(name, DOWNLOADS[name])


def _python_reference() -> Path:
    """The help texts of the Python language reference, which come with every Python (`pydoc_data.topics`)."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise UserError(
            "this Python comes without its language reference (pydoc_data), the default corpus; name a text with --data"
        ) from None
    text = "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"
    path = cache_folder() / f"{DEFAULT}-{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}.txt"
    content = text.encode("utf-8")
    return path if path.is_file() and path.read_bytes() == content else _keep(path, content)


def _downloaded(name: str, download: Download) -> Path:
    path = cache_folder() / f"{name}.txt"
    if path.is_file():
        return _verified(name, download, path.read_bytes(), path)
    print(f"downloading {name} ({download.size / 1e6:.1f} MB) from {download.url}", file=sys.stderr)
    try:
        with urllib.request.urlopen(download.url, timeout=60) as response:
            content = response.read(download.size + 1)
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise UserError(
            f"cannot download {name} ({reason}); fetch {download.url} by hand, save it as {path}, and run this again"
        ) from None
    _verified(name, download, content, None)
    return _keep(path, content)


def _keep(path: Path, content: bytes) -> Path:
    make_folder(path.parent)
    return write_atomically(path, content)


def _verified(name: str, download: Download, content: bytes, path: Path | None) -> Path | None:
    if len(content) == download.size and hashlib.sha256(content).hexdigest() == download.sha256:
        return path
    found = f"{len(content)} bytes with another checksum" if len(content) == download.size else f"{len(content)} bytes"
    where = f"{path} is not {name}" if path else f"{download.url} did not give {name}"
    raise UserError(f"{where}: expected {download.size} bytes with SHA-256 {download.sha256[:16]}…, found {found}")
