"""Encode a text that comes in pieces, without ever holding all of it: the ids are those of the whole text.

Where a piece ends says nothing about where a text may be cut, so a tokenizer is asked. Its `last_cut` names places with
this property: whatever stands before the place and whatever comes after, the text's ids are those of the part before,
and then ids that depend on the two characters before the place and on the part after alone. So the part after is
encoded behind those two characters, and their own ids are left out. That takes care of all that happens at the
beginning of a text and nowhere else (a leading space that is added, white space that is removed).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from minigpt.tokenizers.base import Tokenizer

CONTEXT = 2  # characters before a cut that what follows may depend on


class Part(NamedTuple):
    """A part of a text, up to CONTEXT characters that stand before it, and at which character of the text it begins."""

    before: str
    text: str
    start: int


def regroup(pieces: Iterable[str], last_cut: Callable[[str], int]) -> Iterator[Part]:
    """Yield the parts of a text given in pieces, cut where `last_cut` allows it.

    Each piece is looked at once, so a text that may be cut nowhere costs memory, not time.
    """
    pending: list[str] = []  # what is not yet given out, `held` characters
    before, tail, start, held = "", "", 0, 0
    for piece in pieces:
        window = tail + piece
        pending.append(piece)
        held += len(piece)
        cut = last_cut(window)
        at = held - len(window) + cut  # the same place, counted in what is pending
        if cut and at > 0:
            whole = "".join(pending)
            yield Part(before, whole[:at], start)
            before, start, pending, held = (before + whole[:at])[-CONTEXT:], start + at, [whole[at:]], held - at
        tail = window[-CONTEXT - 1 :]
    if held:
        yield Part(before, "".join(pending), start)


def encode_part(tokenizer: Tokenizer, part: Part) -> list[int]:
    """The ids of a part in its text; those of all parts together are `tokenizer.encode` of the whole."""
    ids = tokenizer.encode(part.before + part.text)
    return ids[len(tokenizer.encode(part.before)) :] if part.before else ids
