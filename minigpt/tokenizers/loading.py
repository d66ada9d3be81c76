"""Open a tokenizer from a file or folder, whichever of the published formats it is in, and save ours.

The name of a file says what it is where its content does not: vocab.json and merges.txt belong together, and so on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from minigpt.core.errors import UserError
from minigpt.core.files import read_bytes, write_atomically
from minigpt.core.limits import VOCABULARY_BYTES
from minigpt.tokenizers.base import TOKENIZER_FILE, Tokenizer, tokenizer_path
from minigpt.tokenizers.byte import ByteTokenizer
from minigpt.tokenizers.char import CharTokenizer
from minigpt.tokenizers.formats.hf_read import from_hf
from minigpt.tokenizers.formats.readers import read_gpt1, read_gpt2, read_json, read_vocab_bpe, read_vocab_txt
from minigpt.tokenizers.formats.sentencepiece_files import read_model, read_tokenizer_bin
from minigpt.tokenizers.formats.tiktoken_files import read_tiktoken
from minigpt.tokenizers.sentencepiece import from_vocabulary
from minigpt.tokenizers.sentencepiece_vocabulary import SentencePieceVocabulary
from minigpt.tokenizers.template import begin_end_template, read_template


def _read_llama2c(path: Path) -> Tokenizer:
    """llama2.c's tokenizer.bin, whose program puts BOS before a prompt and knows no other special tokens in it."""
    vocabulary = read_tokenizer_bin(path)
    tokenizer = _sentencepiece(path, vocabulary)
    tokenizer.template = begin_end_template(vocabulary.roles["bos"], None, plain=True)
    return tokenizer


SIMPLE = {"char": CharTokenizer, "byte": ByteTokenizer}

# Vocabulary and merges files that belong together.
GPT2_FILES = [("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt")]
GPT1_FILES = ("encoder_bpe_40000.json", "vocab_40000.bpe")
SINGLE: dict[str, Callable[[Path], Tokenizer]] = {
    ".txt": read_vocab_txt,
    ".model": lambda path: _sentencepiece(path, read_model(path)),
    ".bin": _read_llama2c,
}
# Files that do not say how text is cut into words, so that it may have to be named.
WITHOUT_PATTERN: dict[str, Callable[[Path, str | None], Tokenizer]] = {
    ".bpe": read_vocab_bpe,
    ".tiktoken": read_tiktoken,
}
FOLDER_FILES = (TOKENIZER_FILE, "encoder.json", "vocab.json", "encoder_bpe_40000.json", "tokenizer.model")
FOLDER_FILES += ("tokenizer.bin", "vocab.txt", "vocab.bpe", "*.tiktoken", "*.model")


def load(path: str | Path, *, pattern: str | None = None) -> Tokenizer:
    """Open the tokenizer in `path`: a file, or a folder that holds one.

    It may be a tokenizer.json (ours or Hugging Face's), encoder.json + vocab.bpe or vocab.json + merges.txt (either
    file names both), vocab.bpe alone, vocab.txt, a .tiktoken file, a SentencePiece .model, or llama2.c's
    tokenizer.bin.

    Args:
        pattern: how text is cut into words (a name such as "cl100k", or a regular expression), for a file of byte-level
            BPE that does not say it: .tiktoken, merges.txt, vocab.bpe.

    Raises:
        UserError: there is no such file, it is damaged, it needs something that minigpt does not do, its pattern has to
            be named, or one is named and the file says its own.
    """
    if not str(path):
        raise UserError("the name of the tokenizer file is empty")
    path = _file_in(Path(path))
    if both := _pair(path, GPT1_FILES):
        _no_pattern(path, pattern)
        return read_gpt1(*both)
    for names in GPT2_FILES:
        if both := _pair(path, names):
            return read_gpt2(*both, pattern)
    if read_ranks := (read_tiktoken if _is_llama3(path) else WITHOUT_PATTERN.get(path.suffix)):
        return read_ranks(path, pattern)
    _no_pattern(path, pattern)
    read_one = SINGLE.get(path.suffix)
    return read_one(path) if read_one else _load_json(path)


def _pair(path: Path, names: tuple[str, str]) -> tuple[Path, Path] | None:
    """The two files of these names, if `path` is one of them and cannot be read alone."""
    if path.name not in names:
        return None
    both = path.with_name(names[0]), path.with_name(names[1])
    if all(p.exists() for p in both):
        return both
    if path.exists() and path.name != "vocab.bpe":
        missing = next(p for p in both if not p.exists())
        raise UserError(f"{path} is one of two files, and the other, {missing}, does not exist")
    return None


def _no_pattern(path: Path, pattern: str | None) -> None:
    if pattern is not None:
        raise UserError(f"{path} needs no pattern: it says itself how text is cut, or cuts it in its kind's own way")


def _is_llama3(path: Path) -> bool:
    """Whether a file called .model holds lines of base64 and ranks, as Llama 3's does, and no SentencePiece model."""
    if path.suffix != ".model":
        return False
    start = read_bytes(path, VOCABULARY_BYTES)[:400]
    return re.match(rb"[A-Za-z0-9+/]+=* \d+\r?\n", start) is not None


def save(tokenizer: Tokenizer, path: str | Path) -> Path:
    """Write `tokenizer` to `path` (a file, or a folder for its tokenizer.json) and return the file's path.

    The file appears whole or not at all. Where Hugging Face's format can hold the tokenizer it is in that format.
    """
    text = json.dumps(tokenizer.to_json(), ensure_ascii=False, indent=1) + "\n"
    return write_atomically(tokenizer_path(path), text)


def find_file(folder: Path) -> Path | None:
    """The file in `folder` that holds a tokenizer, or None."""
    found = (path for name in FOLDER_FILES for path in sorted(folder.glob(name)))
    return next((path for path in found if path.exists()), None)


def _file_in(path: Path) -> Path:
    where, found = ("in the folder ", find_file(path)) if path.is_dir() else ("", path)
    if found is None or not found.exists():
        raise UserError(f"there is no tokenizer file {where}{path}")
    return found


def _sentencepiece(path: Path, vocabulary: SentencePieceVocabulary) -> Tokenizer:
    try:
        return from_vocabulary(vocabulary)
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from None


def _load_json(path: Path) -> Tokenizer:
    data = read_json(path)
    try:
        if "minigpt" in data:
            return SIMPLE[data["minigpt"]].from_json(data)
        if "model" in data:
            simple = data["model"].get("minigpt", {})  # what a character's or a byte's file is in Hugging Face's form
            if "minigpt" in simple:
                return SIMPLE[simple["minigpt"]].from_json(simple)
            tokenizer = from_hf(data)
            tokenizer.template = read_template(data.get("post_processor"), tokenizer.vocab_size)
            return tokenizer
    except (UserError, ValueError) as error:
        raise UserError(f"{path} is not a tokenizer that minigpt can read: {error}") from None
    except KeyError as error:
        raise UserError(f"{path} is damaged: {error.args[0]!r} is missing or unknown") from None
    except (TypeError, AttributeError, IndexError, OverflowError):
        raise UserError(f"{path} is damaged: a part of it has the wrong form") from None
    raise UserError(f"{path} is not a tokenizer file that minigpt can read: it has no model")
