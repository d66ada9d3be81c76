"""Bytes as tokens: the 256 byte values of UTF-8. It needs no training and represents every text."""

from __future__ import annotations

from collections.abc import Iterable

from minigpt.tokenizers.base import Offsets, Tokenizer, check_ids, utf8
from minigpt.tokenizers.byte_alphabet import BYTE_TO_CHAR
from minigpt.tokenizers.json_parts import bpe_model, byte_level, document


class ByteTokenizer(Tokenizer):
    """One token per UTF-8 byte; the id is the byte's value."""

    kind = "byte"
    vocab_size = 256

    def _encode(self, text: str) -> list[int]:
        return list(utf8(text))

    def _encode_with_offsets(self, text: str) -> tuple[list[int], Offsets]:
        spans = [(i, i + 1) for i, c in enumerate(text) for _ in utf8(c)]
        return self._encode(text), spans

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; bytes that are not valid UTF-8 become U+FFFD, so decoding never fails."""
        return bytes(check_ids(ids, self.vocab_size)).decode("utf-8", errors="replace")

    def byte_count(self, ids: Iterable[int]) -> int:
        """One for each id, also where a character was cut in two."""
        return len(check_ids(ids, self.vocab_size))

    def last_cut(self, text: str) -> int:
        """Every character stands alone."""
        return len(text)

    def token(self, i: int) -> str:
        """The token with id `i`, as people write it: the character, or <0xHH> for a byte that shows nothing."""
        return chr(i) if 33 <= i < 127 else f"<0x{i:02X}>"

    def to_json(self) -> dict:
        return {"minigpt": self.kind}

    def to_hf(self) -> dict:
        """A byte-level BPE without merges, which names the bytes by GPT-2's characters for them."""
        vocab = {c: b for b, c in BYTE_TO_CHAR.items()}
        step = byte_level(use_regex=False)
        return document(self, bpe_model(vocab, [], minigpt=self.to_json()), pre_tokenizer=step, decoder=step)

    @classmethod
    def from_json(cls, data: dict) -> ByteTokenizer:
        return cls()
