"""Token shards: a text's token ids in one binary file, memory-mapped, so a corpus may be larger than memory.

The file is nothing but ids, little-endian, in the smallest unsigned type that holds the vocabulary. It lies in the
cache folder under a name made of the text's and the tokenizer's fingerprints: the same text and tokenizer are encoded
once, and a changed text or tokenizer can never be mistaken for the old one. A checksum beside it tells a damaged file,
which is then made anew.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from minigpt.data import corpora, text
from minigpt.data.documents import Documents, document_pieces
from minigpt.errors import UserError
from minigpt.files import make_folder, write_atomically
from minigpt.tokenizers import Tokenizer, fingerprint
from minigpt.tokenizers.streaming import Part, encode_part, regroup

ENCODING = 2  # counts the changes of ids that the same text and tokenizer file give: older shards are made anew


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest unsigned little-endian integer that holds ids below `vocab_size`."""
    size = 1 if vocab_size <= 1 << 8 else 2 if vocab_size <= 1 << 16 else 4
    return np.dtype(f"<u{size}")


def write_numbers(path: Path, arrays: Iterable[np.ndarray]) -> None:
    """Write the arrays one after the other into `path`, and what was written into a description beside it."""
    digest, numbers = hashlib.sha256(), 0

    def contents() -> Iterator[bytes]:
        nonlocal numbers
        for part in arrays:
            numbers += len(part)
            digest.update(part.tobytes())
            yield part.tobytes()

    make_folder(path.parent)
    write_atomically(path, contents())
    description = {"tokens": numbers, "sha256": digest.hexdigest()}
    write_atomically(path.with_suffix(".json"), json.dumps(description))


def open_numbers(path: Path, dtype: np.dtype) -> np.ndarray | None:
    """Memory-map the numbers of a file; None if it is not there, or is not what was written."""
    try:
        description = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        with open(path, "rb") as file:
            whole = hashlib.file_digest(file, "sha256").hexdigest() == description["sha256"]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    if not whole:
        return None
    return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.empty(0, dtype)


def write_shard(path: Path, pieces: Iterable[str | None], tokenizer: Tokenizer, end: int | None = None) -> None:
    """Encode the texts in `pieces` into `path`, one after the other; the pieces may be cut anywhere.

    Args:
        pieces: those of a text, then None where it ends, then those of the next.
        end: the id that is written for each None; none if it is None.
    """
    dtype = token_dtype(tokenizer.vocab_size)

    def encoded() -> Iterator[np.ndarray]:
        ends = np.asarray([] if end is None else [end], dtype=dtype)
        for is_end, group in itertools.groupby(pieces, key=lambda piece: piece is None):
            for part in group if is_end else regroup(group, tokenizer.last_cut):
                yield ends if is_end else np.asarray(_encode(tokenizer, part), dtype=dtype)

    write_numbers(path, encoded())


def _encode(tokenizer: Tokenizer, part: Part) -> list[int]:
    try:
        return encode_part(tokenizer, part)
    except UserError as error:
        where = part.start - len(part.before)
        raise UserError(f"{error}, counted from character {where} of the text" if where else str(error)) from None


def encode_files(
    files: Sequence[Path], tokenizer: Tokenizer, text_fingerprint: str, documents: Documents | None = None
) -> np.ndarray:
    """Return the files' token ids as a memory-mapped array, encoding them only if the cache does not hold them.

    They are `tokenizer.encode` of each file's (or document's) text, one after the other.

    Args:
        documents: how the text falls into documents, if each is to be followed by an end-of-text token.
    """
    name = f"{ENCODING}\n{text_fingerprint}\n{fingerprint(tokenizer)}"
    if documents:
        name += f"\n{documents.end}\n{documents.separator}"
    key = hashlib.sha256(name.encode()).hexdigest()[:32]
    path = corpora.cache_folder() / "tokens" / f"{key}.bin"
    ids = open_numbers(path, token_dtype(tokenizer.vocab_size))
    if ids is None:
        if documents:
            write_shard(path, document_pieces(files, documents.separator), tokenizer, documents.end)
        else:
            write_shard(path, text.whole_files(files, "encoding"), tokenizer)
        ids = open_numbers(path, token_dtype(tokenizer.vocab_size))
        if ids is None:
            raise UserError(f"the token file {path} was changed while it was written; try again")
    return ids
