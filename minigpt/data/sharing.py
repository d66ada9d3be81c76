"""Encoding a text item by item, together with other processes where some wait to help (`minigpt.distributed.sharing`).

Which process encodes an item changes no id, and one alone writes what comes of them in the order of the text: so the
files are the same, whoever helped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from minigpt.tokenizers import Tokenizer

LARGE = 1 << 22  # bytes of a text; less is encoded before others have the tokenizer
Share = Callable[[Callable[[Tokenizer, Any], Any], Tokenizer, Iterable[Any]], Iterator[Any]]
helpers: ContextVar[Share | None] = ContextVar("helpers", default=None)
_T, _R = TypeVar("_T"), TypeVar("_R")


def encoded(
    encode: Callable[[Tokenizer, _T], _R], tokenizer: Tokenizer, items: Iterable[_T], files: Sequence[Path]
) -> Iterator[tuple[_T, _R]]:
    """Yield each item of the files' text with what `encode(tokenizer, item)` makes of it; `encode` can be pickled."""
    share = helpers.get()
    if share is None or sum(file.stat().st_size for file in files) < LARGE:
        return ((item, encode(tokenizer, item)) for item in items)
    return share(encode, tokenizer, items)
