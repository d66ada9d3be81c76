"""What a run's files were when a checkpoint was made, so that damage to them is noticed, and the good checkpoint named.

A checkpoint has a list, `hashes.json`: length and SHA-256 of its own files, and of what else resuming from it needs,
configuration, tokenizer, and log and samples as far as they went then. The list has a hash too. Whatever reads one of
these files compares it first. Checkpoints of before have no list; they are read as ever, and called unverified.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
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
    with suppress(FileNotFoundError), open(path, "rb") as file:
        while data := file.read(_PIECE if size is None else min(_PIECE, size - digest.bytes)):
            digest.update(data)
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


def check(checkpoint: Path, *names: str) -> dict[str, Digest]:
    """Compare files with the checkpoint's list: all of them, or those that are named.

    Returns:
        the digests of what was read; {} of a checkpoint that was made before there were lists.
    Raises:
        UserError: one is damaged; the sentence names the newest checkpoint that is not.
    """
    found = {}
    for path, seen in _seen(checkpoint, names):
        if isinstance(seen, str):
            raise damaged(checkpoint, path, seen)
        found[path.name] = seen
    return found


def is_listed(checkpoint: Path) -> bool:
    """Whether there is a list, good or damaged."""
    return (checkpoint / LIST).exists() or _says_listed(checkpoint)


def problems(checkpoint: Path) -> list[str]:
    """All that is wrong with a checkpoint and with what resuming from it needs, in words."""
    return [f"{path} is damaged ({seen})" for path, seen in _seen(checkpoint, ()) if isinstance(seen, str)]


def damaged(checkpoint: Path, path: Path, problem: str) -> UserError:
    """The error for a damaged file that a checkpoint needs, with the way out."""
    own = "checkpoint " if path.parent == checkpoint else ""
    if path.name in FIXED:
        return UserError(f"the file {path} is damaged ({problem}); put back what was there: every checkpoint needs it")
    others = [other for other in checkpoint_paths(checkpoint.parent.parent)[::-1] if other != checkpoint]
    way = "no other checkpoint is good" if others else "there is no other checkpoint"
    if good := next((other for other in others if not problems(other)), None):
        known = "is good" if is_listed(good) else "is beside it"
        way = f"{good} {known}: to go on from there, remove {checkpoint.name}"
    return UserError(f"the {own}file {path} is damaged ({problem}); {way}")


def _seen(checkpoint: Path, names: Collection[str]) -> Iterator[tuple[Path, Digest | str]]:
    """Compare the files that the list names, one after the other, all of them or some: a digest, or what is wrong.

    The list itself comes first where it is damaged.
    """
    path = checkpoint / LIST
    try:
        listed = unsealed(path)["files"].items()
        entries = {Path(name).name: Entry(int(size), str(sha256)) for name, (size, sha256) in listed}
    except FileNotFoundError:
        if _says_listed(checkpoint):
            yield path, "it is missing"
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        yield path, str(error)
        return
    for name, entry in entries.items():
        if not names or name in names:
            path = (checkpoint.parent.parent if name in (*FIXED, *GROWING) else checkpoint) / name
            yield path, _compared(path, entry)


def _says_listed(checkpoint: Path) -> bool:
    """Whether a checkpoint was made with a list, as its state says; what cannot be read says nothing."""
    try:
        return bool(parse_json((checkpoint / STATE).read_bytes()).get("hashes"))
    except (OSError, ValueError, AttributeError):
        return False


def _compared(path: Path, entry: Entry) -> Digest | str:
    """A file's digest if it is what its entry says; else what is wrong with it."""
    try:
        digest = digest_of(path, entry.bytes if path.name in GROWING else None)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    if digest.entry() == entry or (path.name == CONFIG and has_seal(path.read_bytes())):
        return digest
    if not path.exists():
        return "it is missing"
    if path.name == CONFIG:
        seal = with_seal(path.read_text(encoding="utf-8", errors="replace")).rstrip("\n").rpartition("\n")[2]
        return f"it is not what was saved; if you changed it yourself, end it with the line {seal}"
    if digest.bytes != entry.bytes:
        return f"it has {digest.bytes} bytes where {entry.bytes} were saved"
    return "its SHA-256 is not the one that was saved"
