"""Ranks that help rank 0 to encode a text, while they wait for what it makes of it.

Rank 0 reads the text and hands it out in blocks; each rank encodes every N-th item of a block; rank 0 writes.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from minigpt.core.errors import UserError
from minigpt.data.sharing import helpers
from minigpt.distributed.ranks import Ranks
from minigpt.tokenizers import TOKENIZER_FILE, Tokenizer, load

_T = TypeVar("_T")
_BLOCK = 1 << 18  # characters for each rank, beside which a message is cheap
Encode = Callable[[Tokenizer, Any], Any]


@contextmanager
def helped(ranks: Ranks) -> Iterator[None]:
    """While this lasts on rank 0, the others wait in `help_first`, and encode with it what is large."""
    if ranks.size == 1 or not ranks.first:
        yield
        return
    before = helpers.set(partial(_shared, ranks))
    try:
        yield
    finally:
        helpers.reset(before)


def help_first(ranks: Ranks) -> Any:
    """Wait for what rank 0 brings next with `from_first`, and until then help where it asks for it."""
    while callable(told := ranks.from_first(None)):
        told(ranks)
    return told


def after_first(ranks: Ranks, make: Callable[[], _T]) -> _T:
    """Rank 0 makes something first, and with it what files are kept of it; then the others do."""
    if not ranks.first:
        help_first(ranks)
        return make()
    with helped(ranks):
        made = make()
    ranks.from_first(None)
    return made


def _shared(ranks: Ranks, encode: Encode, tokenizer: Tokenizer, items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    ranks.from_first(partial(_help, encode, tokenizer.to_json()))  # not every tokenizer can be pickled
    for block in _blocks(items, ranks.size):
        ranks.from_first(block)
        yield from zip(block, _together(ranks, partial(encode, tokenizer), block), strict=True)
    ranks.from_first(())


def _help(encode: Encode, content: dict[str, Any], ranks: Ranks) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, TOKENIZER_FILE).write_text(json.dumps(content), encoding="utf-8")
        tokenizer = load(folder)
    while block := ranks.from_first(None):
        _together(ranks, partial(encode, tokenizer), block)


def _blocks(items: Iterable[_T], ranks: int) -> Iterator[list[_T]]:
    """Items for all of them: one for each at least, and many where they are small."""
    block, size = list[_T](), 0
    for item in items:
        block.append(item)
        size += len(repr(item))  # of any kind of item, nearly its characters
        if len(block) >= ranks and size >= ranks * _BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def _together(ranks: Ranks, encode: Callable[[Any], Any], block: Sequence[Any]) -> list[Any]:
    """Raises: what is wrong with the text, the first of it, on all ranks."""
    every = ranks.all(list(_tried(encode, block[ranks.rank :: ranks.size])), "the encoding of the text")
    found = [one for row in itertools.zip_longest(*every) for one in row][: len(block)]
    for error in found:
        if isinstance(error, UserError):
            raise error
    return found


def _tried(encode: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    """What items become, up to the first that cannot be encoded: what it says is the last."""
    try:
        yield from map(encode, items)
    except UserError as error:
        yield error
