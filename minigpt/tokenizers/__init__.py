"""Tokenizers: text to token ids and back. `train` makes one from text files, `load` opens one, `save` writes one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from minigpt.errors import UserError
from minigpt.tokenizers.base import TOKENIZER_FILE, Tokenizer, tokenizer_path
from minigpt.tokenizers.byte import ByteTokenizer
from minigpt.tokenizers.char import CharTokenizer

KINDS = {"char": CharTokenizer, "byte": ByteTokenizer}


def train(kind: str, texts: Iterable[str]) -> Tokenizer:
    """Make a tokenizer of the given kind ("char" or "byte") from an iterable of text pieces.

    Raises:
        UserError: the kind is unknown.
    """
    if kind == "char":
        return CharTokenizer.train(texts)
    if kind == "byte":
        return ByteTokenizer()
    raise UserError(f"unknown tokenizer {kind!r}: choose one of {', '.join(KINDS)}, or a tokenizer file")


def load(path: str | Path) -> Tokenizer:
    """Open the tokenizer in `path`, a tokenizer.json or a folder that holds one.

    Raises:
        UserError: there is no such file, or it does not describe a tokenizer.
    """
    path = tokenizer_path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return KINDS[data["minigpt"]].from_json(data)
    except FileNotFoundError:
        raise UserError(f"there is no tokenizer file {path}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a tokenizer file that minigpt can read ({error!r})") from None


def save(tokenizer: Tokenizer, path: str | Path) -> Path:
    """Write `tokenizer` to `path` (a file, or a folder for its tokenizer.json) and return the file's path."""
    path = tokenizer_path(path)
    path.write_text(json.dumps(tokenizer.to_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return path


__all__ = ["KINDS", "TOKENIZER_FILE", "ByteTokenizer", "CharTokenizer", "Tokenizer", "load", "save", "train"]
