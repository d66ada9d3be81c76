"""What every tokenizer offers: text to ids, ids to text, and a file that brings the same tokenizer back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol


class Tokenizer(Protocol):
    """A reversible map between text and token ids.

    `vocab_size` is one more than the largest id. `encode` raises `UserError` on text that it cannot represent;
    `decode` accepts any sequence of valid ids. `to_json` returns what `minigpt.tokenizers.load` reads back.
    """

    kind: str
    vocab_size: int

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Iterable[int]) -> str: ...

    def byte_lengths(self) -> list[int]:
        """For every id, how many UTF-8 bytes of text it stands for."""
        ...

    def to_json(self) -> dict: ...


def check_ids(ids: Iterable[int], vocab_size: int) -> Sequence[int]:
    """Return the ids as a list of ints, or raise ValueError naming the first that is out of range."""
    ids = [int(i) for i in ids]
    for i in ids:
        if not 0 <= i < vocab_size:
            raise ValueError(f"token id {i} is outside the vocabulary of {vocab_size} tokens")
    return ids


TOKENIZER_FILE = "tokenizer.json"


def tokenizer_path(path: str | Path) -> Path:
    """A folder stands for the tokenizer.json in it."""
    path = Path(path)
    return path / TOKENIZER_FILE if path.is_dir() else path
