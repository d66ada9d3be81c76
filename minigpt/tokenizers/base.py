"""What every tokenizer offers: text to ids, ids to text, the characters that each token covers, and a file.

What all of them need is done here once: the special tokens are cut out of a text before the rest is encoded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import regex

from minigpt.core.errors import UserError
from minigpt.tokenizers.special import Names, SpecialTokens
from minigpt.tokenizers.template import NOTHING, Trim

TOKENIZER_FILE = "tokenizer.json"
Offsets = list[tuple[int, int]]
Encoding = tuple[list[int], Offsets]  # ids, and the characters that each covers


class Tokenizer:
    """A map between text and token ids: what all tokenizers are to those who use them.

    A subclass says how text without special tokens is encoded, `_encode` and `_encode_with_offsets`, how ids are
    decoded, and what its file says, `to_json`, which `minigpt.tokenizers.load` reads back.

    A special token's text is, for each token explicitly, one of three things: allowed (it becomes the token's id),
    forbidden (it is an error) or ignored (it is text like any other, the default: what a file says cannot inject
    control tokens). `"all"` stands for every special token; `allowed` wins over `forbidden`.

    Attributes:
        vocab_size: one more than the largest id.
        template: which special tokens the original puts around a text; `encode` adds none, `encode_text` does.
        trim: what takes white space off the offsets.
        post_processor: the part of this name in the tokenizer.json that it was read from, if any.
    """

    kind: str
    vocab_size: int
    special = SpecialTokens()
    template = NOTHING
    trim: Trim | None = None
    post_processor: dict | None = None

    @property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens and their ids."""
        return dict(self.special.ids)

    def encode(self, text: str, *, allowed: Names = (), forbidden: Names = ()) -> list[int]:
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

    def encode_with_offsets(self, text: str, *, allowed: Names = (), forbidden: Names = ()) -> Encoding:
        """Return the ids that `encode` gives, and for each the (start, end) of the characters that it covers.

        A character that several tokens share (the bytes of one letter) belongs to each of them.
        """
        ids, offsets, added = self._located(text, allowed, forbidden)
        if self.trim is None:
            return ids, offsets
        return ids, self.trim.trim([added.get(n) or self.token(i) for n, i in enumerate(ids)], offsets)

    def encode_untrimmed(self, text: str) -> Encoding:
        """The ids that `encode(text)` gives, and the characters that each covers, white space among them always."""
        ids, offsets, _ = self._located(text, (), ())
        return ids, offsets

    def _located(self, text: str, allowed: Names, forbidden: Names) -> tuple[list[int], Offsets, dict[int, str]]:
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

    def decode(self, ids: Iterable[int]) -> str:
        """The text of any sequence of valid ids."""
        raise NotImplementedError

    def byte_count(self, ids: Iterable[int]) -> int:
        """How many UTF-8 bytes of text the ids stand for (of the text that decoding gives back)."""
        return len(self.decode(ids).encode("utf-8"))

    def last_cut(self, text: str) -> int:
        """The last place at which a text that begins like this one may be cut (`streaming` says what that means).

        By default it may be cut nowhere, 0, which is always right.
        """
        return 0

    def name_ids(self, vocab: Mapping[str, int]) -> None:
        """Note what the ids of a vocabulary and of the special tokens are called, and how many there are at least."""
        self._names = {i: s for names in (vocab, self.special.ids) for s, i in names.items()}
        self.vocab_size = 1 + max(self._names, default=-1)

    def token(self, i: int) -> str:
        """The token with id `i`, as the vocabulary writes it; an id that has none is nothing."""
        return self._names.get(i, "")

    def to_json(self) -> dict:
        """What the tokenizer's file says."""
        raise NotImplementedError

    def to_hf(self) -> dict:
        """The tokenizer as a tokenizer.json that other programs read, which most of our own files are."""
        return self.to_json()

    def _encode(self, text: str) -> list[int]:
        raise NotImplementedError

    def _encode_with_offsets(self, text: str) -> Encoding:
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


def last_match(backwards: regex.Pattern[str], text: str) -> int:
    """The last place at which a pattern of lookarounds alone, which searches from the end, matches; 0 if none does."""
    found = backwards.search(text)
    return found.start() if found else 0


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
