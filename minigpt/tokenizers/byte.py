"""Bytes as tokens: the 256 byte values of UTF-8. It needs no training and represents every text."""

from __future__ import annotations

from collections.abc import Iterable

from minigpt.errors import UserError
from minigpt.tokenizers.base import check_ids


class ByteTokenizer:
    """One token per UTF-8 byte; the id is the byte's value."""

    kind = "byte"
    vocab_size = 256

    def encode(self, text: str) -> list[int]:
        """Return the UTF-8 bytes of `text`.

        Raises:
            UserError: the text holds half of a surrogate pair, which is no character and has no UTF-8 bytes.
        """
        try:
            return list(text.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise UserError(f"the text is not valid Unicode at position {error.start}") from None

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; bytes that are not valid UTF-8 become U+FFFD, so decoding never fails."""
        return bytes(check_ids(ids, self.vocab_size)).decode("utf-8", errors="replace")

    def byte_lengths(self) -> list[int]:
        return [1] * self.vocab_size

    def to_json(self) -> dict:
        return {"minigpt": self.kind}

    @classmethod
    def from_json(cls, data: dict) -> ByteTokenizer:
        return cls()
