"""What a tokenizer remembers of the words it has met."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

SIZE = 1 << 18  # words remembered; beyond that a cache starts afresh
LONGEST = 64  # characters; longer words are rare, and would make the cache's memory unpredictable

Value = TypeVar("Value")


class Cache(dict[str, Value], Generic[Value]):
    """A dictionary that computes what it lacks and starts afresh when it is full: hits cost one C-level lookup."""

    def __init__(self, compute: Callable[[str], Value]):
        super().__init__()
        self._compute = compute

    def __missing__(self, word: str) -> Value:
        value = self._compute(word)
        if len(word) <= LONGEST:
            if len(self) >= SIZE:
                self.clear()
            self[word] = value
        return value
