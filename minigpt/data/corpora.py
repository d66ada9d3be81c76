"""Corpora by name: the story world, which is the default, and small downloads that are checked before use."""

from __future__ import annotations

import hashlib
import sys
import urllib.request
from http.client import HTTPException
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from minigpt.core.errors import UserError
from minigpt.core.files import cache_folder, make_folder, write_atomically
from minigpt.data import storyworld

DEFAULT = "storyworld"
PYTHON_REFERENCE = "python-reference"
DOCUMENTS = 20000  # of the story world's default corpus; the last twentieth are of the split "dev"


class Download(NamedTuple):
    """A public text file: where it is, how many bytes it has and what their SHA-256 is."""

    url: str
    size: int
    sha256: str


DOWNLOADS = {
    # 40,000 lines of Shakespeare's plays, the usual first corpus of small character models
    "tinyshakespeare": Download(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        1115394,
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
}


def corpus_names() -> list[str]:
    return [DEFAULT, PYTHON_REFERENCE, *DOWNLOADS]


def corpus_file(name: str) -> Path:
    """Return the text file of a named corpus, making or downloading it first if need be."""
    made = {DEFAULT: _story_world, PYTHON_REFERENCE: _python_reference}
    return made[name]() if name in made else _downloaded(name, DOWNLOADS[name])


def _story_world() -> Path:
    """Documents of the story world, separated by blank lines: those of its split "train", then some of "dev".

    With data.validation_fraction = 0.05 training and validation are these two. The file's name tells the version of the
    world's programs, so that a changed program never meets texts of an older one.
    """
    path = cache_folder() / f"{DEFAULT}-{_sources_digest()}.txt"
    if not _unchanged(path):
        wanted = {"train": DOCUMENTS - DOCUMENTS // 20, "dev": DOCUMENTS // 20}
        texts: dict[str, list[str]] = {split: [] for split in wanted}
        index = 0
        while any(len(texts[split]) < count for split, count in wanted.items()):
            text, index = storyworld.document(0, index).text, index + 1
            split = storyworld.split_of(text)
            if split in wanted and len(texts[split]) < wanted[split]:
                texts[split].append(text)
        content = ("\n\n".join(texts["train"] + texts["dev"]) + "\n").encode("utf-8")
        _keep(path, content)
        write_atomically(path.with_suffix(".sha256"), hashlib.sha256(content).hexdigest())
    return path


def _sources_digest() -> str:
    """Eight digits that change with the programs of the story world."""
    digest = hashlib.sha256(str(DOCUMENTS).encode())
    for file in sorted(resources.files("minigpt.data.storyworld").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


def _unchanged(path: Path) -> bool:
    """Whether a file is what was written there, by the checksum beside it."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == path.with_suffix(".sha256").read_text(encoding="ascii")
    except (OSError, ValueError):
        return False


def _python_reference() -> Path:
    """The help texts of the Python language reference, which come with every Python (`pydoc_data.topics`)."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise UserError(
            f"this Python comes without its language reference (pydoc_data), the corpus {PYTHON_REFERENCE}; "
            "name another text with --data"
        ) from None
    text = "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"
    path = cache_folder() / f"{PYTHON_REFERENCE}-{'.'.join(map(str, sys.version_info[:3]))}.txt"
    content = text.encode("utf-8")
    return path if path.is_file() and path.read_bytes() == content else _keep(path, content)


def _downloaded(name: str, download: Download) -> Path:
    path = cache_folder() / f"{name}.txt"
    if path.is_file():
        _verify(f"{path} is not {name}", download, path.read_bytes())
        return path
    print(f"downloading {name} ({download.size / 1e6:.1f} MB) from {download.url}", file=sys.stderr)
    try:
        with urllib.request.urlopen(download.url, timeout=60) as response:
            content = response.read(download.size + 1)
    except (OSError, HTTPException) as error:  # the latter: what answers speaks no HTTP
        reason = getattr(error, "reason", error)
        raise UserError(
            f"cannot download {name} ({reason}); fetch {download.url} by hand, save it as {path}, and run this again"
        ) from None
    _verify(f"{download.url} did not give {name}", download, content)
    return _keep(path, content)


def _keep(path: Path, content: bytes) -> Path:
    make_folder(path.parent)
    return write_atomically(path, content)


def _verify(wrong: str, download: Download, content: bytes) -> None:
    """Raise UserError, which begins with `wrong`, for anything else than what should have come."""
    if len(content) != download.size or hashlib.sha256(content).hexdigest() != download.sha256:
        found = f"{len(content)} bytes{' with another checksum' * (len(content) == download.size)}"
        raise UserError(f"{wrong}: expected {download.size} bytes with SHA-256 {download.sha256[:16]}…, found {found}")
