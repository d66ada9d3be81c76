"""What every tokenizer offers: text to ids, ids to text, the characters that each token covers, and a file.

`BaseTokenizer` does once what all of them need: it cuts the special tokens out of a text before the rest is encoded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import regex

from minigpt.core.errors import UserError
from minigpt.tokenizers.special import SpecialTokens
from minigpt.tokenizers.template import NOTHING, Template
from minigpt.tokenizers.trim import Trim

TOKENIZER_FILE = "tokenizer.json"
Offsets = list[tuple[int, int]]


class Tokenizer(Protocol):
    """A map between text and token ids.

    `vocab_size` is one more than the largest id. `encode` raises `UserError` on text that it cannot represent;
    `decode` accepts any sequence of valid ids. `encode_with_offsets` also gives each token's span of characters,
    (start, end) with the end excluded. `special_tokens` maps names to ids; they are found in a text only where
    `allowed` names them. `to_json` returns what `minigpt.tokenizers.load` reads back. `encode` adds no special token;
    `template` says which the original puts around a text, and `encode_text` does. `last_cut` is the last place at
    which a text that begins like this one may be cut (`streaming` says what that means), 0 if there is none.
    """

    kind: str
    vocab_size: int
    template: Template

    @property
    def special_tokens(self) -> dict[str, int]: ...

    def encode(
        self, text: str, *, allowed: Collection[str] | str = (), forbidden: Collection[str] | str = ()
    ) -> list[int]: ...

    def encode_with_offsets(
        self, text: str, *, allowed: Collection[str] | str = (), forbidden: Collection[str] | str = ()
    ) -> tuple[list[int], Offsets]: ...

    def encode_untrimmed(self, text: str) -> tuple[list[int], Offsets]: ...

    def decode(self, ids: Iterable[int]) -> str: ...

    def token(self, i: int) -> str: ...

    def byte_count(self, ids: Iterable[int]) -> int: ...

    def last_cut(self, text: str) -> int: ...

    def to_json(self) -> dict: ...


class BaseTokenizer:
    """`encode` and `encode_with_offsets` in terms of a subclass's `_encode` and `_encode_with_offsets`.

    A special token's text is, for each token explicitly, one of three things: allowed (it becomes the token's id),
    forbidden (it is an error) or ignored (it is text like any other, the default: what a file says cannot inject
    control tokens). `"all"` stands for every special token; `allowed` wins over `forbidden`.
    """

    special = SpecialTokens({})
    template = NOTHING
    trim: Trim | None = None  # what takes white space off the offsets
    post_processor: dict | None = None  # the part of this name in the tokenizer.json that it was read from, if any

    @property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens and their ids."""
        return dict(self.special.ids)

    def encode(
        self, text: str, *, allowed: Collection[str] | str = (), forbidden: Collection[str] | str = ()
    ) -> list[int]:
        """Return the token ids of `text` alone; nothing is added around it.

        Raises:
            UserError: the text contains a forbidden special token or something that the vocabulary cannot represent.
        """
        if not allowed and not forbidden and not self.special.always:
            return self._encode(text)
        ids: list[int] = []
        for start, end, special in self.special.split(text, allowed, forbidden):
            if special is None:
                ids += self._encode(text[start:end])
            else:
                ids.append(special)
        return ids

    def encode_with_offsets(
        self, text: str, *, allowed: Collection[str] | str = (), forbidden: Collection[str] | str = ()
    ) -> tuple[list[int], Offsets]:
        """Return the ids that `encode` gives, and for each the (start, end) of the characters that it covers.

        A character that several tokens share (the bytes of one letter) belongs to each of them.
        """
        ids, offsets, added = self._located(text, allowed, forbidden)
        return ids, self._trimmed(ids, offsets, added)

    def encode_untrimmed(self, text: str) -> tuple[list[int], Offsets]:
        """The ids that `encode(text)` gives, and the characters that each covers, white space among them always."""
        ids, offsets, _ = self._located(text, (), ())
        return ids, offsets

    def _located(
        self, text: str, allowed: Collection[str] | str, forbidden: Collection[str] | str
    ) -> tuple[list[int], Offsets, dict[int, str]]:
        """Ids, offsets before any trimming, and the text of the tokens that are special, by their place."""
        ids: list[int] = []
        offsets: Offsets = []
        added: dict[int, str] = {}
        for start, end, special in self.special.split(text, allowed, forbidden):
            if special is not None:
                added[len(ids)] = text[start:end]
                ids.append(special)
                offsets.append((start, end))
                continue
            new_ids, spans = self._encode_with_offsets(text[start:end])
            ids += new_ids
            offsets += [(start + a, start + b) for a, b in spans] if start else spans
        return ids, offsets, added

    def _trimmed(self, ids: list[int], offsets: Offsets, added: dict[int, str]) -> Offsets:
        """The offsets without white space, where that is asked for."""
        if self.trim is None:
            return offsets
        return self.trim.trim([added.get(n) or self.token(i) for n, i in enumerate(ids)], offsets)

    def byte_count(self, ids: Iterable[int]) -> int:
        """How many UTF-8 bytes of text the ids stand for (of the text that decoding gives back)."""
        return len(self.decode(ids).encode("utf-8"))

    def last_cut(self, text: str) -> int:
        """By default a text may be cut nowhere, which is always right."""
        return 0

    def token(self, i: int) -> str:
        """The token with id `i`, as the vocabulary writes it."""
        raise NotImplementedError

    def _encode(self, text: str) -> list[int]:
        raise NotImplementedError

    def _encode_with_offsets(self, text: str) -> tuple[list[int], Offsets]:
        raise NotImplementedError


def fingerprint(tokenizer: Tokenizer) -> str:
    """SHA-256 of everything that the tokenizer's file says: equal only for tokenizers that give the same ids."""
    return hashlib.sha256(json.dumps(tokenizer.to_json(), sort_keys=True).encode()).hexdigest()


def check_ids(ids: Iterable[int], vocab_size: int) -> Sequence[int]:
    """Return the ids as a list of ints, or raise ValueError naming the first that is out of range."""
    ids = [int(i) for i in ids]
    for i in ids:
        if not 0 <= i < vocab_size:
            raise ValueError(f"token id {i} is outside the vocabulary of {vocab_size} tokens")
    return ids


def utf8(text: str) -> bytes:
    """The UTF-8 bytes of `text`; a lone surrogate, which UTF-8 cannot hold, is a UserError."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"character U+{ord(text[error.start]):04X} at position {error.start} is half of a surrogate pair, "
            "which no UTF-8 text can contain"
        ) from None


def last_match(pattern: re.Pattern[str] | regex.Pattern[str], text: str) -> int:
    """The last place at which a pattern of lookarounds alone matches, 0 if there is none. Looks at the end first."""
    reach = 1 << 10
    while True:
        start = max(len(text) - reach, 0)
        places = [match.start() for match in pattern.finditer(text, start)]
        if start == 0 or places:
            return places[-1] if places else 0
        reach *= 8


def tokenizer_path(path: str | Path) -> Path:
    """A folder stands for the tokenizer.json in it."""
    path = Path(path)
    return path / TOKENIZER_FILE if path.is_dir() else path


def check_fit(tokenizer: Tokenizer, vocab_size: int) -> None:
    """Raise UserError if the tokenizer has ids that the model has no embedding for."""
    if tokenizer.vocab_size > vocab_size:
        raise UserError(
            f"the tokenizer does not fit the model: it has {tokenizer.vocab_size} tokens, "
            f"but model.vocab_size is {vocab_size}"
        )
