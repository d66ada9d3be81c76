"""Documents packed into one stream of tokens, each followed by an end-of-text token (GPT-2, GPT-3).

A document is a file, or, where files hold several, what stands between lines that are nothing but a separator, or
between blank lines. Windows are cut from the stream without regard to where documents end (but see `packing.py`), and
attention is not kept from looking across: the end-of-text token says that what comes has nothing to do with what was.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from minigpt.core.errors import UserError
from minigpt.data import text
from minigpt.tokenizers import Tokenizer
from minigpt.tokenizers.pretokens import lines

END_OF_TEXT = "<|endoftext|>"
BLANK = "\n"  # the separator that stands for any number of blank lines


class Documents(NamedTuple):
    """How a text falls into documents.

    Attributes:
        end: the id that follows each of them.
        separator: a line that stands between two; BLANK: one without text; "" where every file is one document.
    """

    end: int
    separator: str


def documents(tokenizer: Tokenizer, separator: str) -> Documents:
    """Raises UserError if the tokenizer has no end-of-text token."""
    if END_OF_TEXT not in tokenizer.special_tokens:
        raise UserError(
            f"objective.end_of_text needs a tokenizer with the special token {END_OF_TEXT}; this one, of the kind "
            f"{tokenizer.kind}, has none (bpe:SIZE gets it when it is trained)"
        )
    return Documents(tokenizer.special_tokens[END_OF_TEXT], separator)


def document_pieces(files: Sequence[Path], separator: str, what: str = "encoding") -> Iterator[text.Piece]:
    """Yield the documents of the files (see `text.Piece`). Those without text are left out."""
    between = re.compile(rf"^{re.escape(separator)}[ \t]*\r?(?:\n|\Z)", re.MULTILINE) if separator else None
    for path in files:
        if mark := text.mark_bytes(path):
            yield mark
        if separator == BLANK:
            for document in _paragraphs(path, what):
                yield from (document, None)
            continue
        begun = False
        for piece in text.read_with_progress([path], what):
            for number, part in enumerate(between.split(piece) if between else [piece]):
                if number and begun:
                    yield None
                    begun = False
                if part:
                    yield part
                    begun = True
        if begun:
            yield None


def _paragraphs(path: Path, what: str) -> Iterator[str]:
    """Yield what stands between blank lines, each without the line break at its end and otherwise as it is.

    Only a line feed ends a line, and a line is blank if nothing but spaces and tabs (and a carriage return at its end)
    are in it: form feeds, vertical tabs, U+0085, U+2028 and their like are text.
    """
    every = (line for piece in text.read_with_progress([path], what) for line in lines(piece))
    for has_text, group in itertools.groupby(every, key=lambda line: bool(line.strip(" \t\r\n"))):
        document = "".join(group)
        if has_text:
            yield document.removesuffix("\n").removesuffix("\r") if document.endswith("\n") else document
