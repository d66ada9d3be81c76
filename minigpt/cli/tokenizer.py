"""`minigpt tokenizer`: train or convert a tokenizer, encode and decode with one, and see where it cuts a text."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from minigpt import tokenizers
from minigpt.cli.common import only_text, show
from minigpt.core.errors import UserError
from minigpt.core.files import read_pieces, read_text
from minigpt.core.progress import progress_bar
from minigpt.core.settings import require
from minigpt.core.terminal import for_stream
from minigpt.lab.tokens import boundaries
from minigpt.tokenizers import Tokenizer
from minigpt.tokenizers.base import tokenizer_path
from minigpt.tokenizers.pretokens import line_blocks

SPECIAL = {"allowed": {"allowed": "all"}, "forbidden": {"forbidden": "all"}, "ignored": {}}
OPTIONS = {  # of training, by kind; char and byte have none
    "bpe": ("vocab_size", "special", "min_frequency", "pattern"),
    "gpt": ("vocab_size", "special", "min_frequency"),
    "wordpiece": ("vocab_size", "special", "min_frequency", "cased", "score"),
}


def run_train(args: argparse.Namespace) -> None:
    out = _out(args, args.files, "one of the texts to learn from")
    _save(_train(args, _options(args)), out, args)


def run_convert(args: argparse.Namespace) -> None:
    out = _out(args, [args.tokenizer], "the tokenizer that is converted")
    _save(tokenizers.load(args.tokenizer, pattern=args.pattern), out, args)


def _out(args: argparse.Namespace, sources: Sequence[str], what: str) -> Path:
    """The file that --out means, looked at before any work is done for it; it must be none of the sources."""
    if not args.out or (args.out.endswith(("/", os.sep)) and not Path(args.out).is_dir()):
        raise UserError(f"--out {args.out!r} names neither a file nor a folder that exists")
    out = tokenizer_path(args.out)
    if out.exists() and not args.force:
        raise UserError(f"{out} exists already: choose another --out, or replace it with --force")
    require(out.parent.is_dir(), f"cannot write {out}: the folder {out.parent} does not exist")
    if out.exists() and any(Path(source).exists() and out.samefile(source) for source in sources):
        raise UserError(f"--out {out} is {what}; choose another")
    return out


def _save(tokenizer: Tokenizer, out: Path, args: argparse.Namespace) -> None:
    tokenizers.save(tokenizer, out)
    values = {"tokenizer": str(out), "kind": tokenizer.kind, "vocab_size": tokenizer.vocab_size}
    show(args, values, f"{out}: {tokenizer.kind}, {tokenizer.vocab_size} tokens")


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of `tokenizers.train` that were given; one that the kind does not have is an error."""
    for text in (args.pattern, *args.special):
        if text is not None and not only_text("--pattern or --special", text):
            raise UserError("--pattern and --special must not be empty")
    for dest, name in args.parser.given(args).items():
        if dest not in OPTIONS.get(args.kind, ()) and any(dest in options for options in OPTIONS.values()):
            raise UserError(f"{name} means nothing for a {args.kind} tokenizer")
    values = {"special_tokens": args.special, "min_frequency": args.min_frequency, "pattern": args.pattern}
    values |= {"lower": False if args.cased else None, "score": args.score}
    if args.special and args.kind == "wordpiece":
        values["special_tokens"] = [*tokenizers.wordpiece.BERT_SPECIAL, *args.special]
    return {name: value for name, value in values.items() if value not in (None, [])}


def _train(args: argparse.Namespace, options: dict[str, Any]) -> Tokenizer:
    sizes = [_size(file) for file in args.files]
    if args.kind in ("char", "byte"):
        return tokenizers.train(args.kind, (piece for file in args.files for piece in read_pieces(file, pipes=True)))
    size = args.vocab_size or 4096
    with (
        progress_bar(total=sum(sizes), desc="reading", unit="B", unit_scale=True) as reading,
        progress_bar(total=size, desc="tokens", unit="token") as merging,
    ):
        blocks = _Counted(args.files, reading)
        return tokenizers.train(args.kind, blocks, size, progress=merging.update, **options)


class _Counted:
    """The blocks of lines of some files, counted by a progress bar as they are read."""

    def __init__(self, files: list[str], bar: Any):
        self.files, self.bar = files, bar

    def __iter__(self) -> Iterator[str]:
        for file in self.files:
            for block in line_blocks(read_pieces(file)):
                self.bar.update(len(block.encode("utf-8")))
                yield block


def _size(file: str) -> int:
    """The size of a file that must exist, so that a misspelt name is noticed before hours of work."""
    path = Path(file)
    require(path.exists(), f"there is no file {file}")
    require(path.is_file(), f"{file} is not a regular file (a pipe will not do)")
    return path.stat().st_size


def run_encode(args: argparse.Namespace) -> None:
    tokenizer, text = tokenizers.load(args.tokenizer, pattern=args.pattern), _text(args)
    special = SPECIAL[args.special]
    if args.json:
        ids, offsets = tokenizer.encode_with_offsets(text, **special)
        print(json.dumps({"ids": ids, "tokens": [tokenizer.token(i) for i in ids], "offsets": offsets}))
    else:
        print(*tokenizer.encode(text, **special))


def run_decode(args: argparse.Namespace) -> None:
    tokenizer = tokenizers.load(args.tokenizer, pattern=args.pattern)
    words = args.ids or _stdin().split()
    try:
        text = tokenizer.decode([int(word) for word in words])
    except ValueError as error:
        reason = str(error) if str(error).startswith("token id") else "token ids are whole numbers"
        raise UserError(f"cannot decode: {reason}") from None
    if args.json:
        print(json.dumps({"text": text}))
    else:
        _print(for_stream(text, sys.stdout))


def run_show(args: argparse.Namespace) -> None:
    tokenizer, text = tokenizers.load(args.tokenizer, pattern=args.pattern), _text(args)
    ids, offsets = tokenizer.encode_with_offsets(text, **SPECIAL[args.special])
    if args.json:
        spans = zip(ids, offsets, strict=True)
        tokens = [{"id": i, "token": tokenizer.token(i), "start": a, "end": b} for i, (a, b) in spans]
        print(json.dumps({"tokens": tokens, "characters": len(text)}))
        return
    auto = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    colour = args.color == "always" or (args.color == "auto" and auto)
    shown = boundaries(tokenizer, text, ids, offsets, colour)
    _print(f"{shown}\n{len(ids)} tokens, {len(text)} characters")


def _print(text: str) -> None:
    """In UTF-8, whatever the encoding of stdout is."""
    sys.stdout.buffer.write(f"{text}\n".encode())
    sys.stdout.flush()


def _text(args: argparse.Namespace) -> str:
    if args.file is not None and args.text is not None:
        raise UserError("give TEXT or --file, not both")
    if args.file is not None:
        return read_text(args.file, pipes=True)
    return only_text("TEXT", args.text) if args.text is not None else _stdin()


def _stdin() -> str:
    require(sys.stdin is not None, "there is no input: stdin is closed")
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"stdin is not a UTF-8 text: byte {error.start} cannot be decoded") from None
