"""Rows that begin where a document begins: whole documents, as many as fit, each followed by the end-of-text token.

A window cut from anywhere in a text begins in the middle of a document, and the first tokens have to be predicted
without what decides them. Here nothing is ever predicted without its document from the start: a row begins with an
end-of-text token, behind which come documents,

    inputs    <|endoftext|> d₁ d₁ d₁ <|endoftext|> d₂ d₂               filling
    targets   d₁ d₁ d₁ <|endoftext|> d₂ d₂ <|endoftext|>               ignored

so the best possible loss is −Σ log p(document) / Σ tokens, and can be reached. Where p is known (the story world) that
is the floor of every loss curve. A document that is longer than a row is cut into rows of its own.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from minigpt.data.batch import Batch, pad_rows
from minigpt.data.encoded import EncodedText
from minigpt.ops import IGNORE

_TOGETHER = 512  # so many documents are packed at a time


class Packed(NamedTuple):
    """Documents in rows.

    Attributes:
        ids: (N,) the documents' tokens, each followed by `end`.
        pieces: (P + 1,) where each document, or part of one, begins in `ids`.
        rows: for every row the numbers of its pieces.
        numbers: the pieces that these rows hold; others may be those of other rows.
        end: the end-of-text token.
        context: T, the width of a row.
        text: the text that `ids` are all tokens of, where they come from one.
    """

    ids: np.ndarray
    pieces: np.ndarray
    numbers: range
    rows: list[list[int]]
    end: int
    context: int
    text: EncodedText | None = None

    def scored_bytes(self) -> int:
        """How many bytes of the text are predicted in all rows."""
        start, stop = self.pieces[self.numbers.start], self.pieces[self.numbers.stop]
        return self.text.scored_bytes(int(start), int(stop), given=False)

    @property
    def tokens(self) -> int:
        """How many tokens are predicted in all rows."""
        return len(self.stream) - 1

    @property
    def stream(self) -> np.ndarray:
        """The documents one after the other, an end-of-text token before the first and after each."""
        ids = self.ids[self.pieces[self.numbers.start] : self.pieces[self.numbers.stop]]
        return np.concatenate([np.array([self.end], dtype=ids.dtype), ids])

    def piece(self, number: int) -> np.ndarray:
        return self.ids[self.pieces[number] : self.pieces[number + 1]]

    def whole(self, number: int) -> bool:
        """Whether the piece is a document, not a part of one."""
        start, stop = self.pieces[number], self.pieces[number + 1]
        return (start == 0 or self.ids[start - 1] == self.end) and self.ids[stop - 1] == self.end

    @property
    def row_count(self) -> int:
        return len(self.rows)

    def row(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets of a row."""
        pieces = self.rows[number]
        targets = np.concatenate([self.piece(p) for p in pieces]).astype(np.int64)
        start = self.pieces[pieces[0]]
        before = self.end if start == 0 else self.ids[start - 1]
        return np.concatenate([[before], targets[:-1]]), targets

    def evenly(self, limit: int | None) -> list[int]:
        """The numbers of all rows, or of as many as hold about `limit` tokens, evenly spread."""
        count = len(self.rows)
        some = count if limit is None else max(1, min(count, limit * count // max(self.tokens, 1)))
        return [count * i // some for i in range(some)]

    def batches(self, rows: int, limit: int | None = None) -> list[Callable[[], Batch]]:
        """Functions that each make a batch of up to `rows` of these rows."""
        numbers = self.evenly(limit)
        groups = [numbers[i : i + rows] for i in range(0, len(numbers), rows)]
        return [partial(packed_batch, [(self, number) for number in group]) for group in groups]


def packed_batch(rows: Sequence[tuple[Packed, int]]) -> Batch:
    """Rows of one text or several, filled up to the longest."""
    inputs, targets = zip(*(packed.row(number) for packed, number in rows), strict=True)
    return Batch(pad_rows(inputs, rows[0][0].end), pad_rows(targets, IGNORE))


def pack_text(text: EncodedText, context: int, fraction: float = 0.0) -> tuple[Packed, Packed]:
    """Pack a text's documents: see `pack`."""
    first, last = pack(text.ids, text.documents.end, context, fraction)
    return first._replace(text=text), last._replace(text=text)


def pack(ids: np.ndarray, end: int, context: int, fraction: float = 0.0) -> tuple[Packed, Packed]:
    """Pack documents into rows of `context` tokens: the first ones, and the last `fraction` of them."""
    stops = np.flatnonzero(ids == end) + 1
    if not len(stops) or stops[-1] != len(ids):
        stops = np.append(stops, len(ids))  # a text cut off
    starts = np.concatenate([[0], stops[:-1]])
    pieces = [cut for a, b in zip(starts.tolist(), stops.tolist(), strict=True) for cut in range(a, b, context)]
    pieces = np.array([*pieces, len(ids)], dtype=np.int64)
    count = len(pieces) - 1
    first = min(round((1.0 - fraction) * count), count - 1) if fraction else count
    parts = [range(first), range(first, count)]
    empty = [Packed(ids, pieces, numbers, [], end, context) for numbers in parts]
    return tuple(packed._replace(rows=_rows(packed)) for packed in empty)


def _rows(packed: Packed) -> list[list[int]]:
    """Put pieces into rows, each into the fullest one that has room, the longest first.

    Parts of documents have rows of their own. In a row documents stand in an order that has nothing to do with their
    lengths, so that a long one is as likely to come late as a short one.
    """
    numbers, lengths, rows = packed.numbers, np.diff(packed.pieces).tolist(), []
    for some in (numbers[i : i + _TOGETHER] for i in range(0, len(numbers), _TOGETHER)):
        room: list[tuple[int, int]] = []  # (what is left, row), sorted
        for number in sorted(some, key=lambda n: -lengths[n]):
            place = bisect.bisect_left(room, (lengths[number], -1))
            if not packed.whole(number):
                rows.append([number])
                continue
            if place == len(room):
                rows.append([number])
                left, row = packed.context, len(rows) - 1
            else:
                left, row = room.pop(place)
                rows[row].append(number)
            bisect.insort(room, (left - lengths[number], row))
    return [sorted(row, key=lambda number: number * 2654435761 % 2**32) for row in rows]
