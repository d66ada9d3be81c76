"""`minigpt tokenizer`: train or convert a tokenizer, encode and decode with one, and see where it cuts a text."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from minigpt import tokenizers
from minigpt.cli.commands import COMMANDS
from minigpt.cli.common import at_least, new_parser, only_text, print_json
from minigpt.core.errors import UserError
from minigpt.core.files import read_pieces, read_text
from minigpt.core.progress import progress_bar
from minigpt.tokenizers import Tokenizer
from minigpt.tokenizers.base import tokenizer_path
from minigpt.tokenizers.patterns import PATTERNS
from minigpt.tokenizers.pretokens import line_blocks

SPECIAL = {"allowed": {"allowed": "all"}, "forbidden": {"forbidden": "all"}, "ignored": {}}
COLOURS = (44, 42, 45, 46, 43)  # backgrounds: neighbours must differ, and black letters be legible on each


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "tokenizer",
        help=COMMANDS["tokenizer"],
        description="Train, use and look at tokenizers.",
        epilog="Example:\n  minigpt tokenizer train book.txt --vocab-size 4096 --out book-bpe.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(metavar="WHAT", required=True)
    _add_train(kinds)
    _add_convert(kinds)
    _add_encode(kinds)
    _add_decode(kinds)
    _add_show(kinds)


def _add_train(kinds: Any) -> None:
    example = "minigpt tokenizer train book.txt --kind bpe --vocab-size 4096 --out book-bpe.json"
    train = new_parser(kinds, "train", "learn a vocabulary from text files", example)
    train.add_argument("files", metavar="FILE", nargs="+", help="UTF-8 text files")
    train.add_argument("--kind", default="bpe", choices=tokenizers.KINDS, help="bpe (byte-level) by default")
    train.add_argument("--vocab-size", type=at_least(1), metavar="N", help="how many tokens; 4096 by default")
    train.add_argument("--out", default="tokenizer.json", metavar="PATH", help="file or folder; tokenizer.json")
    train.add_argument("--special", action="append", default=[], metavar="NAME", help="a special token; repeatable")
    train.add_argument("--min-frequency", type=at_least(0), metavar="N", help="merge only pairs seen N times")
    names = ", ".join(PATTERNS)
    train.add_argument("--pattern", metavar="REGEX", help=f"bpe: how text is cut into words: {names} or a regex")
    train.add_argument("--cased", action="store_true", help="wordpiece: keep capital letters and accents")
    train.add_argument("--score", choices=("count", "likelihood"), help="wordpiece: which pair to merge first")
    train.add_argument("--force", action="store_true", help="replace an existing file")
    train.set_defaults(run=run_train)


def _add_convert(kinds: Any) -> None:
    example = "minigpt tokenizer convert ranks.tiktoken --pattern cl100k --out tokenizer.json"
    convert = new_parser(kinds, "convert", "write a tokenizer of any format as tokenizer.json", example)
    _add_tokenizer(convert)
    convert.add_argument("--out", default="tokenizer.json", metavar="PATH", help="file or folder; tokenizer.json")
    convert.add_argument("--force", action="store_true", help="replace an existing file")
    convert.set_defaults(run=run_convert)


def _add_tokenizer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tokenizer", metavar="TOKENIZER", help="a tokenizer file, or a folder that holds one")
    parser.add_argument(
        "--pattern",
        metavar="REGEX",
        help=f"how text is cut into words, where the file does not say it: {', '.join(PATTERNS)} or a regex",
    )


def _add_encode(kinds: Any) -> None:
    encode = new_parser(kinds, "encode", "turn text into token ids", 'minigpt tokenizer encode t.json "Hello world"')
    _add_input(encode)
    encode.set_defaults(run=run_encode)


def _add_decode(kinds: Any) -> None:
    decode = new_parser(kinds, "decode", "turn token ids into text", "minigpt tokenizer decode t.json 15496 995")
    _add_tokenizer(decode)
    decode.add_argument("ids", metavar="ID", nargs="*", help="token ids; by default they are read from stdin")
    decode.set_defaults(run=run_decode)


def _add_show(kinds: Any) -> None:
    show = new_parser(kinds, "show", "colour the tokens of a text", 'minigpt tokenizer show t.json "Hello world"')
    _add_input(show)
    show.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="never: | between tokens")
    show.set_defaults(run=run_show)


def _add_input(parser: argparse.ArgumentParser) -> None:
    _add_tokenizer(parser)
    parser.add_argument("text", metavar="TEXT", nargs="?", help="the text; by default it is read from stdin")
    parser.add_argument("--file", metavar="FILE", help="read the text from a file")
    parser.add_argument(
        "--special",
        choices=SPECIAL,
        default="ignored",
        help="what the name of a special token in the text is: the token, an error, or text (the default)",
    )


def run_train(args: argparse.Namespace) -> int:
    out = _out(args, args.files, "one of the texts to learn from")
    return _save(_train(args, _options(args)), out, args)


def run_convert(args: argparse.Namespace) -> int:
    out = _out(args, [args.tokenizer], "the tokenizer that is converted")
    return _save(tokenizers.load(args.tokenizer, pattern=args.pattern), out, args)


def _out(args: argparse.Namespace, sources: Sequence[str], what: str) -> Path:
    """The file that --out means, looked at before any work is done for it; it must be none of the sources."""
    if not args.out or (args.out.endswith(("/", os.sep)) and not Path(args.out).is_dir()):
        raise UserError(f"--out {args.out!r} names neither a file nor a folder that exists")
    out = tokenizer_path(args.out)
    if out.exists() and not args.force:
        raise UserError(f"{out} exists already: choose another --out, or replace it with --force")
    if not out.parent.is_dir():
        raise UserError(f"cannot write {out}: the folder {out.parent} does not exist")
    if out.exists() and any(Path(source).exists() and out.samefile(source) for source in sources):
        raise UserError(f"--out {out} is {what}; choose another")
    return out


def _save(tokenizer: Tokenizer, out: Path, args: argparse.Namespace) -> int:
    tokenizers.save(tokenizer, out)
    if args.json:
        print_json({"tokenizer": str(out), "kind": tokenizer.kind, "vocab_size": tokenizer.vocab_size})
    else:
        print(f"{out}: {tokenizer.kind}, {tokenizer.vocab_size} tokens")
    return 0


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of `tokenizers.train` that were given; one that the kind does not have is an error."""
    names = {"special": "special_tokens", "min_frequency": "min_frequency", "pattern": "pattern"}
    names |= {"cased": "lower", "score": "score"}
    fits = {"bpe": {"special", "min_frequency", "pattern"}, "gpt": {"special", "min_frequency"}}
    fits["wordpiece"] = {"special", "min_frequency", "cased", "score"}
    given = {name: value for name in names if (value := getattr(args, name)) not in (None, [], False)}
    for text in (args.pattern, *args.special):
        if text is not None and not only_text("--pattern or --special", text):
            raise UserError("--pattern and --special must not be empty")
    for name in given:
        if name not in fits.get(args.kind, ()):
            raise UserError(f"--{name.replace('_', '-')} means nothing for a {args.kind} tokenizer")
    if args.vocab_size and args.kind not in fits:
        raise UserError(f"--vocab-size means nothing for a {args.kind} tokenizer")
    if "cased" in given:
        given["cased"] = False
    if "special" in given and args.kind == "wordpiece":
        given["special"] = [*tokenizers.wordpiece.BERT_SPECIAL, *given["special"]]
    return {names[name]: value for name, value in given.items()}


def _train(args: argparse.Namespace, options: dict[str, Any]) -> Tokenizer:
    sizes = [_size(file) for file in args.files]
    if args.kind in ("char", "byte"):
        return tokenizers.train(args.kind, (piece for file in args.files for piece in read_pieces(file)))
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
    if not path.exists():
        raise UserError(f"there is no file {file}")
    if not path.is_file():
        raise UserError(f"{file} is not a regular file (a pipe will not do)")
    return path.stat().st_size


def run_encode(args: argparse.Namespace) -> int:
    tokenizer, text = tokenizers.load(args.tokenizer, pattern=args.pattern), _text(args)
    special = SPECIAL[args.special]
    if args.json:
        ids, offsets = tokenizer.encode_with_offsets(text, **special)
        print_json({"ids": ids, "tokens": [tokenizer.token(i) for i in ids], "offsets": offsets})
    else:
        print(*tokenizer.encode(text, **special))
    return 0


def run_decode(args: argparse.Namespace) -> int:
    tokenizer = tokenizers.load(args.tokenizer, pattern=args.pattern)
    words = args.ids or _stdin().split()
    try:
        text = tokenizer.decode([int(word) for word in words])
    except ValueError as error:
        reason = str(error) if str(error).startswith("token id") else "token ids are whole numbers"
        raise UserError(f"cannot decode: {reason}") from None
    if args.json:
        print_json({"text": text})
    else:
        sys.stdout.buffer.write(text.encode("utf-8") + b"\n")
        sys.stdout.flush()
    return 0


def run_show(args: argparse.Namespace) -> int:
    tokenizer, text = tokenizers.load(args.tokenizer, pattern=args.pattern), _text(args)
    ids, offsets = tokenizer.encode_with_offsets(text, **SPECIAL[args.special])
    if args.json:
        spans = zip(ids, offsets, strict=True)
        tokens = [{"id": i, "token": tokenizer.token(i), "start": a, "end": b} for i, (a, b) in spans]
        print_json({"tokens": tokens, "characters": len(text)})
        return 0
    auto = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    colour = args.color == "always" or (args.color == "auto" and auto)
    shown = _boundaries(tokenizer, text, ids, offsets, colour)
    sys.stdout.buffer.write(f"{shown}\n{len(ids)} tokens, {len(text)} characters\n".encode())
    sys.stdout.flush()
    return 0


def _boundaries(tokenizer: Tokenizer, text: str, ids: list[int], offsets: list[tuple[int, int]], colour: bool) -> str:
    """The text with its tokens told apart. A token without characters of its own shows its name instead."""
    parts: list[str] = []
    position = 0
    for n, (i, (start, end)) in enumerate(zip(ids, offsets, strict=True)):
        if start > position:  # characters that no token covers, such as white space in BERT
            parts.append(text[position:start] if colour else text[position:start].replace("\n", "⏎\n"))
        shared = n + 1 < len(ids) and offsets[n + 1][0] < end  # a part of a character that goes on in the next token
        own = text[max(start, position) : end] if not shared else ""
        label = (own or f"‹{tokenizer.token(i)}›").replace("\n", "⏎\n")
        parts.append(_painted(label, COLOURS[n % len(COLOURS)]) if colour else label + "|")
        position = max(position, end if own or not shared else position)
    return "".join(parts) + text[position:]


def _painted(label: str, colour: int) -> str:
    """Black letters on a coloured ground, which ends with the line so that it does not fill the terminal's width."""
    return "\n".join(f"\x1b[30;{colour}m{line}\x1b[0m" if line else "" for line in label.split("\n"))


def _text(args: argparse.Namespace) -> str:
    if args.file is not None and args.text is not None:
        raise UserError("give TEXT or --file, not both")
    if args.file is not None:
        return read_text(args.file)
    return only_text("TEXT", args.text) if args.text is not None else _stdin()


def _stdin() -> str:
    if sys.stdin is None:
        raise UserError("there is no input: stdin is closed")
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"stdin is not a UTF-8 text: byte {error.start} cannot be decoded") from None
