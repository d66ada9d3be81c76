"""Token shards: a text's token ids in one binary file, memory-mapped, so a corpus may be larger than memory.

The file is nothing but ids, little-endian, in the smallest unsigned type that holds the vocabulary. It lies in the
cache folder under a name made of the text's and the tokenizer's fingerprints: the same text and tokenizer are encoded
once, and a changed text or tokenizer can never be mistaken for the old one.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from minigpt.data import corpora, text
from minigpt.errors import UserError
from minigpt.progress import progress_bar
from minigpt.tokenizers import Tokenizer


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest unsigned little-endian integer that holds ids below `vocab_size`."""
    size = 1 if vocab_size <= 1 << 8 else 2 if vocab_size <= 1 << 16 else 4
    return np.dtype(f"<u{size}")


def write_shard(path: Path, pieces: Iterable[str], tokenizer: Tokenizer) -> int:
    """Encode the pieces into `path`, written beside and renamed into place; return the number of tokens."""
    dtype, tokens = token_dtype(tokenizer.vocab_size), 0
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            name = file.name
            for piece in pieces:
                ids = np.asarray(tokenizer.encode(piece), dtype=dtype)
                file.write(ids.tobytes())
                tokens += len(ids)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as error:
        raise UserError(f"cannot write the token file {path}: {error.strerror}") from None
    finally:
        if name and os.path.exists(name):  # the encoding failed half-way
            os.unlink(name)
    return tokens


def open_shard(path: Path, vocab_size: int) -> np.ndarray:
    """Memory-map the ids of a shard; an empty shard is an empty array."""
    dtype = token_dtype(vocab_size)
    return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.empty(0, dtype)


def encode_files(files: Sequence[Path], tokenizer: Tokenizer, text_fingerprint: str) -> np.ndarray:
    """Return the files' token ids as a memory-mapped array, encoding them only if the cache does not hold them."""
    description = json.dumps(tokenizer.to_json(), sort_keys=True)
    key = hashlib.sha256(f"{text_fingerprint}\n{description}".encode()).hexdigest()[:32]
    path = corpora.cache_folder() / "tokens" / f"{key}.bin"
    if not path.is_file():
        total = sum(file.stat().st_size for file in files)
        with progress_bar(total=total, desc="encoding", unit="B", unit_scale=True, leave=False) as bar:

            def counted() -> Iterable[str]:
                for piece in text.read_pieces(files):
                    yield piece
                    bar.update(len(piece.encode("utf-8")))

            write_shard(path, counted(), tokenizer)
    return open_shard(path, tokenizer.vocab_size)
