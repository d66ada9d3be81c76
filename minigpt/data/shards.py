"""Token shards: a text's token ids in one binary file, memory-mapped, so a corpus may be larger than memory.

The file is nothing but ids, little-endian, in the smallest unsigned type that holds the vocabulary. It lies in the
cache folder under a name made of the text's and the tokenizer's fingerprints: the same text and tokenizer are encoded
once, and a changed text or tokenizer can never be mistaken for the old one. A description beside it has a checksum,
which tells a damaged file, and marks (see `encoded.py`); what lacks one of them is made anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from minigpt.core.files import cache_folder, make_folder, write_atomically
from minigpt.core.reading import parse_json
from minigpt.tokenizers import Tokenizer, fingerprint

ENCODING = 2  # counts the changes of ids that the same text and tokenizer file give: older shards are made anew


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest unsigned little-endian integer that holds ids below `vocab_size`."""
    size = 1 if vocab_size <= 1 << 8 else 2 if vocab_size <= 1 << 16 else 4
    return np.dtype(f"<u{size}")


def write_numbers(path: Path, arrays: Iterable[np.ndarray], more: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Write the arrays one after the other into `path`, and what was written into a description beside it.

    Args:
        more: what else the description says; it may still be growing while the arrays are made.
    """
    digest, numbers = hashlib.sha256(), 0

    def contents() -> Iterator[bytes]:
        nonlocal numbers
        for part in arrays:
            numbers += len(part)
            digest.update(part.tobytes())
            yield part.tobytes()

    make_folder(path.parent)
    write_atomically(path, contents())
    description = {"tokens": numbers, "sha256": digest.hexdigest(), **more}
    write_atomically(path.with_suffix(".json"), json.dumps(description))


def open_numbers(path: Path, dtype: np.dtype) -> tuple[np.ndarray, dict] | None:
    """Memory-map the numbers of a file, with its description; None if it is not there, or is not what was written."""
    try:
        description = parse_json(path.with_suffix(".json").read_text(encoding="utf-8"))
        with open(path, "rb") as file:
            whole = hashlib.file_digest(file, "sha256").hexdigest() == description["sha256"]
    except (FileNotFoundError, ValueError, TypeError, KeyError, OverflowError):
        return None
    if not whole:
        return None
    numbers = np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.empty(0, dtype)
    return numbers, description


def cache_path(text_fingerprint: str, tokenizer: Tokenizer, *how: object) -> Path:
    """Where the ids lie that a text becomes by a tokenizer; `how` says what else they depend on."""
    name = "\n".join(map(str, (ENCODING, text_fingerprint, fingerprint(tokenizer), *how)))
    return cache_folder() / "tokens" / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.bin"
