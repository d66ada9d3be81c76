"""A text as token ids that know which bytes of its files they stand for.

Bits per byte divide by bytes of the files themselves, whatever a tokenizer makes of them. All bytes count, those of
byte-order marks and those that a tokenizer drops or changes among them, but not the lines between documents. Positions
are counted in these bytes: a token ends where its own characters do (`tokenizers.byte_offsets`), the last one of a text
where the text ends. An end-of-text token stands for no bytes.

No position is kept for every token. Now and then there is a mark, from which the text is encoded again to find one.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigpt.core.errors import UserError
from minigpt.core.settings import require
from minigpt.data import shards, sharing, text
from minigpt.data.documents import Documents, document_pieces
from minigpt.data.text import Piece
from minigpt.tokenizers import Tokenizer
from minigpt.tokenizers.byte_offsets import byte_offsets
from minigpt.tokenizers.streaming import Part, encode_part, regroup

MARK_EVERY = 1 << 20  # bytes
_LOOK = 1 << 12  # characters whose tokens are looked at one by one


class Mark(NamedTuple):
    """How many items, tokens and bytes of a text come before some place."""

    items: int
    tokens: int
    bytes: int


BEGINNING = Mark(0, 0, 0)
Item = Part | int | None  # a part that is encoded as one; bytes that are not encoded; the end of a file or document


def pieces_of(files: Sequence[Path], documents: Documents | None, what: str) -> Iterator[Piece]:
    """The text of the files or of their documents, with a progress bar that says what is being done."""
    if documents:
        return document_pieces(files, documents.separator, what)
    return text.with_progress(text.whole_files(files), files, what)


def items(pieces: Iterable[Piece], tokenizer: Tokenizer) -> Iterator[Item]:
    """What the pieces are encoded in: cut only where that changes no ids."""
    for kind, group in itertools.groupby(pieces, key=type):
        if kind is str:
            yield from regroup(group, tokenizer.last_cut)
        else:
            yield from group


def item_tokens(item: Item, tokenizer: Tokenizer, documents: Documents | None) -> Sequence[int]:
    """The ids that an item becomes."""
    if isinstance(item, Part):
        return encode_part(tokenizer, item)
    return [documents.end] if item is None and documents else []


def item_bytes(item: Item) -> int:
    """How many bytes an item counts for."""
    return _size(item.text) if isinstance(item, Part) else item or 0


def after(mark: Mark, item: Item, tokens: int) -> Mark:
    """The mark behind an item that became so many tokens."""
    return Mark(mark.items + 1, mark.tokens + tokens, mark.bytes + item_bytes(item))


class EncodedText(NamedTuple):
    """The token ids of some files.

    Attributes:
        ids: (N,) memory-mapped.
        documents: how the files fall into documents, each followed by an end-of-text token; None if they do not.
        marks: some places in the order of the text, the beginning and the end among them.
    """

    ids: np.ndarray
    files: Sequence[Path]
    tokenizer: Tokenizer
    documents: Documents | None
    marks: Sequence[Mark]

    def part(self, start: int = 0, stop: int | None = None) -> Tokens:
        """The tokens start … stop − 1, by default all of them."""
        return Tokens(self.ids[start:stop], self, start)

    def scored_bytes(self, start: int, stop: int, *, given: bool) -> int:
        """How many bytes are predicted with the tokens start … stop − 1: all from where the token before them ends (or
        the text begins) to where the last of them ends.

        Args:
            given: the first of them is not predicted, so that its own characters do not count.
        """
        begin = self._span(start - 1)[1] if start else 0
        end = self._span(stop - 1)[1] if stop < len(self.ids) else self.marks[-1].bytes
        own = self._span(start) if given else (0, 0)
        return end - begin - (own[1] - own[0])

    def _items(self) -> Iterator[Item]:
        return items(pieces_of(self.files, self.documents, "measuring"), self.tokenizer)

    def _span(self, token: int) -> tuple[int, int]:
        """The (start, end) in bytes of a token.

        Raises:
            UserError: the files are no longer those that were encoded.
        """
        mark = self.marks[bisect.bisect_right(self.marks, token, key=lambda mark: mark.tokens) - 1]
        rest = self._items()
        if sum(item_bytes(item) for item in itertools.islice(rest, mark.items)) != mark.bytes:
            mark, rest = BEGINNING, self._items()  # the text is no longer cut where it was
        for item in rest:
            count = len(item_tokens(item, self.tokenizer, self.documents))
            if token < mark.tokens + count:
                start, end = _span_in(item, token - mark.tokens, self.tokenizer) if isinstance(item, Part) else (0, 0)
                return mark.bytes + start, mark.bytes + end
            mark = after(mark, item, count)
        raise UserError(f"{', '.join(map(str, self.files[:3]))} was changed while it was measured; try again")


@dataclass(frozen=True, eq=False)
class Tokens:
    """Some consecutive tokens of a text: an array of ids to all who take slices of it.

    Attributes:
        ids: (n,) their ids.
        text: the text, all of it.
        start: how many of its tokens come before these.
    """

    ids: np.ndarray
    text: EncodedText
    start: int

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, which: slice) -> np.ndarray:
        return self.ids[which]

    def scored_bytes(self) -> int:
        """How many bytes are predicted with all of the tokens but the first."""
        return self.text.scored_bytes(self.start, self.start + len(self), given=True)


def _span_in(part: Part, token: int, tokenizer: Tokenizer) -> tuple[int, int]:
    """The (start, end) of a part's token, in bytes from where the part begins."""
    whole = part.before + part.text
    token += len(tokenizer.encode(part.before)) if part.before else 0
    position = -_size(part.before)
    for small in regroup((whole[i : i + _LOOK] for i in range(0, len(whole), _LOOK)), tokenizer.last_cut):
        count = len(encode_part(tokenizer, small))
        if token < count:
            spans = byte_offsets(tokenizer, small.before + small.text)
            start, end = spans[len(spans) - count + token]
            position -= _size(small.before)
            return max(position + start, 0), max(position + end, 0)
        token -= count
        position += _size(small.text)
    raise IndexError("the part has fewer tokens")


def _size(text: str) -> int:
    return len(text.encode("utf-8"))


def write_shard(path: Path, files: Sequence[Path], tokenizer: Tokenizer, documents: Documents | None) -> None:
    """Encode the files (or their documents, each with its end) into `path`, and note marks in its description."""
    dtype = shards.token_dtype(tokenizer.vocab_size)
    marks = [BEGINNING]
    shards.write_numbers(path, _encoded(files, tokenizer, documents, marks, dtype), {"marks": marks})


def _encoded(
    files: Sequence[Path], tokenizer: Tokenizer, documents: Documents | None, marks: list[Mark], dtype: np.dtype
) -> Iterator[np.ndarray]:
    """Yield the ids; `marks`, which begins with the first, gets the others."""
    here = marks[0]
    encode, parts = partial(_ids, documents, dtype), items(pieces_of(files, documents, "encoding"), tokenizer)
    for item, ids in sharing.encoded(encode, tokenizer, parts, files):
        here = after(here, item, len(ids))
        if here.bytes - marks[-1].bytes >= MARK_EVERY:
            marks.append(here)
        if len(ids):
            yield ids
    marks.append(here)


def _ids(documents: Documents | None, dtype: np.dtype, tokenizer: Tokenizer, item: Item) -> np.ndarray:
    try:
        return np.asarray(item_tokens(item, tokenizer, documents), dtype=dtype)
    except UserError as error:
        where = item.start - len(item.before)
        raise UserError(f"{error}, counted from character {where} of the text" if where else str(error)) from None


def _open_shard(
    path: Path, files: Sequence[Path], tokenizer: Tokenizer, documents: Documents | None
) -> EncodedText | None:
    """What `write_shard` wrote; None if it is not there, is damaged, or comes from a version that noted no marks."""
    opened = shards.open_numbers(path, shards.token_dtype(tokenizer.vocab_size))
    if opened is None:
        return None
    ids, description = opened
    try:
        marks = [Mark(*map(int, mark)) for mark in description["marks"]]
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    whole = marks[:1] == [BEGINNING] and marks[-1].tokens == len(ids)
    return EncodedText(ids, files, tokenizer, documents, marks) if whole else None


def encode_files(
    files: Sequence[Path], tokenizer: Tokenizer, text_fingerprint: str, documents: Documents | None = None
) -> EncodedText:
    """Return the files' token ids, memory-mapped, encoding them only if the cache does not hold them.

    They are `tokenizer.encode` of each file's (or document's) text, one after the other.

    Args:
        documents: how the text falls into documents, if each is to be followed by an end-of-text token.
    """
    path = shards.cache_path(text_fingerprint, tokenizer, *(documents or ()))
    encoded = _open_shard(path, files, tokenizer, documents)
    if encoded is None:
        write_shard(path, files, tokenizer, documents)
        encoded = _open_shard(path, files, tokenizer, documents)
        require(encoded is not None, f"the token file {path} was changed while it was written; try again")
    return encoded
