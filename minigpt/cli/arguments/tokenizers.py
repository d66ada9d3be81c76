"""The arguments of `minigpt tokenizer`."""

from __future__ import annotations

from minigpt.cli.arguments import names
from minigpt.cli.parser import Parser


def train(add: Parser) -> None:
    add.example("minigpt tokenizer train book.txt --kind bpe --vocab-size 4096 --out book-bpe.json")
    add.value("files", "FILE", "UTF-8 text files", nargs="+")
    add.choice("--kind", names.TOKENIZERS, "bpe (byte-level) by default", default="bpe")
    add.count("--vocab-size", "size of the vocabulary; default: 4096")
    add.value("--out", "PATH", "file or folder; default: tokenizer.json", default="tokenizer.json")
    add.several("--special", "NAME", "a special token; may be repeated")
    add.count("--min-frequency", "merge only pairs that occur at least N times", least=0)
    add.value("--pattern", "REGEX", f"bpe: how text is split into words: {', '.join(names.PATTERNS)} or a regex")
    add.flag("--cased", "wordpiece: keep capital letters and accents")
    add.choice("--score", ("count", "likelihood"), "wordpiece: which pair to merge first")
    add.flag("--force", "replace an existing file")


def convert(add: Parser) -> None:
    add.example("minigpt tokenizer convert ranks.tiktoken --pattern cl100k --out tokenizer.json")
    _add_tokenizer(add)
    add.value("--out", "PATH", "file or folder; default: tokenizer.json", default="tokenizer.json")
    add.flag("--force", "replace an existing file")


def encode(add: Parser) -> None:
    add.example('minigpt tokenizer encode t.json "Hello world"')
    _add_text(add)


def decode(add: Parser) -> None:
    add.example("minigpt tokenizer decode t.json 15496 995")
    _add_tokenizer(add)
    add.value("ids", "ID", "token ids; default: read them from stdin", nargs="*")


def show(add: Parser) -> None:
    add.example('minigpt tokenizer show t.json "Hello world"')
    _add_text(add)
    add.choice("--color", ("auto", "always", "never"), "never: | between tokens", default="auto")


def _add_tokenizer(add: Parser) -> None:
    add.value("tokenizer", "TOKENIZER", "a tokenizer file, or a folder that holds one")
    patterns = f"how text is split into words, if the file does not say so: {', '.join(names.PATTERNS)} or a regex"
    add.value("--pattern", "REGEX", patterns)


def _add_text(add: Parser) -> None:
    _add_tokenizer(add)
    add.value("text", "TEXT", "the text; default: read it from stdin", nargs="?")
    add.value("--file", "FILE", "read the text from a file")
    meaning = "what names of special tokens in the text become: the token, an error, or text (default)"
    add.choice("--special", ("allowed", "forbidden", "ignored"), meaning, default="ignored")
