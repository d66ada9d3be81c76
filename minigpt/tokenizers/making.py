"""Make a tokenizer: train one of a given kind, or resolve what a user wrote after --tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from minigpt.core.errors import UserError
from minigpt.core.files import read_pieces
from minigpt.tokenizers.base import Tokenizer
from minigpt.tokenizers.bert_words import BertWords
from minigpt.tokenizers.byte import ByteTokenizer
from minigpt.tokenizers.byte_bpe import ByteBPE
from minigpt.tokenizers.char import CharTokenizer
from minigpt.tokenizers.gpt_bpe import GPTBPE
from minigpt.tokenizers.loading import load
from minigpt.tokenizers.pretokens import line_blocks
from minigpt.tokenizers.wordpiece import WordPiece

SIZED = {"bpe": ByteBPE, "gpt": GPTBPE, "wordpiece": WordPiece}
_ANY = ("special_tokens", "min_frequency", "progress")
OPTIONS = {"bpe": (*_ANY, "pattern"), "gpt": (*_ANY, "words"), "wordpiece": (*_ANY, "score", "words", "lower")}
KINDS = {"char": CharTokenizer, "byte": ByteTokenizer, **SIZED}

Texts = str | Path | Iterable[str | Path]


def train(kind: str, texts: Texts, vocab_size: int | None = None, **options) -> Tokenizer:
    """Make a tokenizer of the given kind from texts or text files.

    Args:
        kind: "char", "byte", "bpe" (byte-level), "gpt" (GPT's, with </w>) or "wordpiece".
        texts: text files, or text. A Path is a file; in a list, so is a string that names an existing file; an
            iterator of strings is one long text in pieces, which may be cut anywhere.
        vocab_size: how many tokens; for the kinds that have a choice.
        options: what the kind's `train` takes: `special_tokens`, `min_frequency`, `progress`, for "bpe" `pattern` (a
            name of `patterns.PATTERNS` or a regular expression), for
            "wordpiece" `score` and `words` (a BertWords) or `lower`, for "gpt" `words` (a GPTWords).

    Raises:
        UserError: the kind is unknown or lacks a size, a file cannot be read, or there is no text.
    """
    if kind not in KINDS:
        raise UserError(f"unknown tokenizer {kind!r}: choose one of {', '.join(KINDS)}, or a tokenizer file")
    if kind not in SIZED:
        if vocab_size is not None or options:
            raise UserError(f"a {kind} tokenizer has no vocabulary size and no options to choose")
        return CharTokenizer.train(_blocks(texts)) if kind == "char" else ByteTokenizer()
    if vocab_size is None:
        raise UserError(f"a {kind} tokenizer needs a vocabulary size: write {kind}:4096, for instance")
    _check(kind, vocab_size, options)
    if "lower" in options:
        options["words"] = BertWords(lower=options.pop("lower"))
    return SIZED[kind].train(_blocks(texts), vocab_size, **options)


def _check(kind: str, vocab_size: object, options: dict[str, object]) -> None:
    """What the command line refuses is refused here, too."""
    for name in options:
        if name not in OPTIONS[kind]:
            raise UserError(f"a {kind} tokenizer has no option {name!r}; it has {', '.join(OPTIONS[kind])}")
    if type(vocab_size) is not int:
        raise UserError(f"a vocabulary size is a whole number, not {vocab_size!r}")
    special = options.get("special_tokens", ())
    if isinstance(special, str) or not all(isinstance(name, str) for name in special):
        raise UserError(f"special_tokens should be a list of names, not {special!r}")


def from_spec(spec: str, texts: Callable[[], Iterable[str]], **options) -> Tokenizer:
    """Resolve what is written after --tokenizer: char, byte, bpe:4096, wordpiece:8192, gpt:8192, or a file or folder.

    Args:
        spec: the text. What exists as a file or folder is that, whatever it looks like.
        texts: called, without arguments, for an iterator over the pieces of the text to train on, if it is needed.
        options: as for `train`.

    Raises:
        UserError: the text means none of these, or training or loading fails.
    """
    if not spec or Path(spec).exists():
        return load(spec)
    kind, colon, size = spec.partition(":")
    if kind not in KINDS:
        raise UserError(
            f"there is no tokenizer {spec!r}: write char, byte, bpe:SIZE, wordpiece:SIZE or gpt:SIZE, "
            "or the name of a tokenizer file that exists"
        )
    if colon and not (size.isascii() and size.isdigit()):
        raise UserError(f"{size!r} in {spec!r} is not a vocabulary size: write {kind}:4096, for instance")
    return train(kind, texts(), int(size) if colon else None, **options)


def _blocks(texts: Texts) -> Iterator[str]:
    """Blocks of whole lines; a line never spans two files."""
    if isinstance(texts, str | Path):
        texts = [texts]
    if isinstance(texts, list | tuple) and any(isinstance(t, Path) or _is_file(t) for t in texts):
        return chain.from_iterable(line_blocks(read_pieces(t)) for t in texts)
    return line_blocks(texts)


def _is_file(text: str | Path) -> bool:
    try:
        return "\n" not in str(text) and len(str(text)) < 4096 and Path(text).is_file()
    except (OSError, ValueError):
        return False
