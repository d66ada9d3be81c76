"""GPT-2's way to write any byte as a visible character, so that vocabularies of bytes can live in text files.

The 188 bytes that Latin-1 prints as something visible stand for themselves; the other 68, in ascending order, become
U+0100, U+0101, … (space is Ġ, newline Ċ). Source: the byte-to-unicode table of GPT-2's published encoder.
"""

from __future__ import annotations

from collections.abc import Iterable

VISIBLE = (*range(33, 127), *range(161, 173), *range(174, 256))
HIDDEN = tuple(b for b in range(256) if b not in VISIBLE)

# Byte -> character. In GPT-2's own order (VISIBLE, then HIDDEN) byte number n of the listing has id n.
BYTE_TO_CHAR = {b: chr(b) for b in VISIBLE} | {b: chr(0x100 + n) for n, b in enumerate(HIDDEN)}
CHAR_TO_BYTE = {c: b for b, c in BYTE_TO_CHAR.items()}

GPT2_ORDER = tuple(BYTE_TO_CHAR[b] for b in (*VISIBLE, *HIDDEN))
SORTED_ORDER = tuple(sorted(CHAR_TO_BYTE))  # by mapped code point: how trained vocabularies number them

# str.translate tables: Latin-1 text (one character a byte) -> mapped text, and back.
_TO_MAPPED = {b: c for b, c in BYTE_TO_CHAR.items() if b != ord(c)}


def to_mapped(data: bytes) -> str:
    """Write bytes as mapped characters, one each."""
    return data.decode("latin-1").translate(_TO_MAPPED)


def from_mapped(text: Iterable[str]) -> bytes:
    """Undo `to_mapped`; a character that stands for no byte is a KeyError."""
    return bytes(map(CHAR_TO_BYTE.__getitem__, text))
