"""Text from files, made fit to be shown: a terminal obeys some characters instead of showing them.

Sentences about files are escaped always (`sentence`, which every UserError goes through). Text that a model or a
tokenizer makes is escaped on its way to a terminal alone (`for_stream`): into a file or a pipe it goes as it is.
"""

from __future__ import annotations

import re
from typing import TextIO

from minigpt.core.limits import SENTENCE_CHARACTERS

# Control characters but for tab and line feed (and a carriage return before one), halves of surrogate pairs, Unicode's
# own line ends, and what turns the direction of writing around.
_OBEYED = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)"
)


def printable(text: str) -> str:
    r"""The text with what a terminal would obey written as \x1b or \u202e."""
    return _OBEYED.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def for_stream(text: str, stream: TextIO) -> str:
    """The text as it may be written to a stream: printable if that is a terminal."""
    return printable(text) if stream.isatty() else text


def sentence(text: str) -> str:
    """What is said to a user: printable, and without its middle if it is too long."""
    text = printable(text)
    if len(text) <= SENTENCE_CHARACTERS:
        return text
    end = SENTENCE_CHARACTERS // 3
    return f"{text[: SENTENCE_CHARACTERS - end - 3]} … {text[-end:]}"
