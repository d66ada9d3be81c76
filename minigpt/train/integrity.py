"""What a run's files were when a checkpoint was made, so that damage to them is noticed, and the good checkpoint named.

A checkpoint has a list, `hashes.json`: length and SHA-256 of its own files, and of what else resuming from it needs,
configuration, tokenizer, and log and samples as far as they went then. The list has a hash too. Whatever reads one of
these files compares it first. Checkpoints of before have no list; they are read as ever, and called unverified.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from minigpt.core import disk
from minigpt.core.errors import UserError
from minigpt.core.reading import parse_json
from minigpt.tokenizers.base import TOKENIZER_FILE

FOLDER, LIST, STATE = "checkpoints", "hashes.json", "state.json"
CONFIG, LOG, SAMPLES = "config.toml", "log.jsonl", "samples.txt"
FIXED = (CONFIG, TOKENIZER_FILE)
GROWING = (LOG, SAMPLES)  # only their beginning belongs to a checkpoint
_PIECE = 1 << 20
_SEAL = "# SHA-256 of the lines above: "


class Entry(NamedTuple):
    """What a list says of a file."""

    bytes: int
    sha256: str


class Digest:
    """The hash of what was given so far."""

    def __init__(self) -> None:
        self._hash, self.bytes = hashlib.sha256(), 0

    def update(self, data: bytes) -> None:
        self._hash.update(data)
        self.bytes += len(data)

    def entry(self) -> Entry:
        return Entry(self.bytes, self._hash.hexdigest())


def digest_of(path: Path, size: int | None = None) -> Digest:
    """That of a file, or of its first `size` bytes; of one that is not there, of nothing."""
    digest = Digest()
    try:
        with open(path, "rb") as file:
            while data := file.read(_PIECE if size is None else min(_PIECE, size - digest.bytes)):
                digest.update(data)
    except FileNotFoundError:
        return digest
    return digest


def write_hashed(path: Path, pieces: Iterable[bytes]) -> Entry:
    """Write a new file, and return what it is; what is hashed is what was meant, not what a disk made of it."""
    digest = Digest()

    def passing() -> Iterator[bytes]:
        for piece in pieces:
            digest.update(piece)
            yield piece

    disk.write(path, passing())
    disk.sync(path)
    return digest.entry()


def files_of(run: Path) -> dict[str, Entry]:
    """What the files of a run are that stand beside its checkpoints."""
    fixed = [name for name in FIXED if (run / name).exists()]
    return {name: digest_of(run / name).entry() for name in (*fixed, *GROWING)}


def sealed(values: Mapping[str, Any]) -> bytes:
    """JSON with a hash of itself."""
    own = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**values, "sha256": own}, indent=1) + "\n").encode()


def unsealed(path: Path) -> dict[str, Any]:
    """What `sealed` made; raises ValueError if it is not that any more, and OSError."""
    data = path.read_bytes()
    values = parse_json(data)
    if not isinstance(values, dict) or "sha256" not in values:
        raise ValueError("it has no SHA-256 of its own")
    del values["sha256"]
    if data != sealed(values):
        raise ValueError("its SHA-256 is not its own")
    return values


def with_seal(text: str) -> str:
    """A configuration that was rewritten after checkpoints had been made, with a last line that tells damage."""
    return f"{text}{_SEAL}{hashlib.sha256(text.encode()).hexdigest()}\n"


def has_seal(data: bytes) -> bool:
    above, mark, seal = data.rpartition(_SEAL.encode())
    return bool(mark) and seal == hashlib.sha256(above).hexdigest().encode() + b"\n"


def checkpoint_paths(run: Path) -> list[Path]:
    """The finished checkpoints of a run, oldest first. Unfinished ones have names that start with a dot."""
    found = [(int(p.name.removeprefix("step-")), p) for p in (run / FOLDER).glob("step-*") if p.name[5:].isdecimal()]
    return [path for _, path in sorted(found)]


class _Seen(NamedTuple):
    """A file that a checkpoint's list names, or the list itself: its digest if it is good, else what is wrong."""

    path: Path
    digest: Digest | None
    problem: str = ""


def check(checkpoint: Path, *names: str) -> dict[str, Digest]:
    """Compare files with the checkpoint's list: all of them, or those that are named.

    Returns:
        the digests of what was read; {} of a checkpoint that was made before there were lists.
    Raises:
        UserError: one is damaged; the sentence names the newest checkpoint that is not.
    """
    found = {}
    for path, digest, problem in _seen(checkpoint, names):
        if digest is None:
            raise damaged(checkpoint, path, problem)
        found[path.name] = digest
    return found


def is_listed(checkpoint: Path) -> bool:
    """Whether there is a list, good or damaged."""
    return (checkpoint / LIST).exists() or _says_listed(checkpoint)


def problems(checkpoint: Path) -> list[str]:
    """All that is wrong with a checkpoint and with what resuming from it needs, in words."""
    seen = _seen(checkpoint, ())
    return [f"{path} is damaged ({problem})" for path, digest, problem in seen if digest is None]


def damaged(checkpoint: Path, path: Path, problem: str) -> UserError:
    """The error for a damaged file that a checkpoint needs, with the way out."""
    own = "checkpoint " if path.parent == checkpoint else ""
    if path.name in FIXED:
        return UserError(f"the file {path} is damaged ({problem}); put back what was there: every checkpoint needs it")
    others = [other for other in checkpoint_paths(checkpoint.parent.parent)[::-1] if other != checkpoint]
    for other in others:
        if not problems(other):
            good = "is good" if is_listed(other) else "is beside it"
            way = f"{other} {good}: to go on from there, remove {checkpoint.name}"
            break
    else:
        way = "no other checkpoint is good" if others else "there is no other checkpoint"
    return UserError(f"the {own}file {path} is damaged ({problem}); {way}")


def _seen(checkpoint: Path, names: Collection[str]) -> Iterator[_Seen]:
    """Compare the files that the list names, one after the other; all of them, or some."""
    path = checkpoint / LIST
    try:
        listed = unsealed(path)["files"].items()
        entries = {Path(name).name: Entry(int(size), str(sha256)) for name, (size, sha256) in listed}
    except FileNotFoundError:
        if _says_listed(checkpoint):
            yield _Seen(path, None, "it is missing")
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        yield _Seen(path, None, str(error))
        return
    for name, entry in entries.items():
        if not names or name in names:
            yield _compared(checkpoint, name, entry)


def _says_listed(checkpoint: Path) -> bool:
    """Whether a checkpoint was made with a list, as its state says; what cannot be read says nothing."""
    try:
        return bool(parse_json((checkpoint / STATE).read_bytes()).get("hashes"))
    except (OSError, ValueError, AttributeError):
        return False


def _compared(checkpoint: Path, name: str, entry: Entry) -> _Seen:
    path = (checkpoint.parent.parent if name in (*FIXED, *GROWING) else checkpoint) / name
    try:
        digest = digest_of(path, entry.bytes if name in GROWING else None)
    except OSError as error:
        return _Seen(path, None, f"it cannot be read: {error.strerror}")
    if digest.entry() == entry or (name == CONFIG and has_seal(path.read_bytes())):
        return _Seen(path, digest)
    if not path.exists():
        return _Seen(path, None, "it is missing")
    if name == CONFIG:
        seal = with_seal(path.read_text(encoding="utf-8", errors="replace")).rstrip("\n").rpartition("\n")[2]
        return _Seen(path, None, f"it is not what was saved; if you changed it yourself, end it with the line {seal}")
    if digest.bytes != entry.bytes:
        return _Seen(path, None, f"it has {digest.bytes} bytes where {entry.bytes} were saved")
    return _Seen(path, None, "its SHA-256 is not the one that was saved")
