"""Characters as tokens: the vocabulary is the set of characters that a text contains, in code-point order."""

from __future__ import annotations

from collections.abc import Iterable

from minigpt.core.errors import UserError
from minigpt.tokenizers.added import check_utf8
from minigpt.tokenizers.base import Offsets, Tokenizer, check_ids
from minigpt.tokenizers.json_parts import document, split


class CharTokenizer(Tokenizer):
    """One token per Unicode character; id i is the i-th character in code-point order.

    The simplest tokenizer there is, and the one that small Shakespeare models are compared with. It knows only the
    characters that it was made from: any other is an error, not a silent replacement.
    """

    kind = "char"

    def __init__(self, characters: Iterable[str]):
        self.characters = "".join(sorted(set(characters)))
        self.vocab_size = len(self.characters)
        self._id = {c: i for i, c in enumerate(self.characters)}

    @classmethod
    def train(cls, texts: Iterable[str]) -> CharTokenizer:
        """Collect the characters of all `texts` (an iterable of strings, so the whole need not fit in memory)."""
        characters: set[str] = set()
        for text in texts:
            characters.update(text)
        return cls(characters)

    def _encode(self, text: str) -> list[int]:
        try:
            return [self._id[c] for c in text]
        except KeyError as error:
            c = error.args[0]
            raise UserError(
                f"character {c!r} (U+{ord(c):04X}) at position {text.index(c)} is not among the "
                f"{self.vocab_size} characters that this tokenizer was made from"
            ) from None

    def _encode_with_offsets(self, text: str) -> tuple[list[int], Offsets]:
        return self._encode(text), [(i, i + 1) for i in range(len(text))]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the characters of `ids`; an id outside the vocabulary is a ValueError."""
        return "".join(self.characters[i] for i in check_ids(ids, self.vocab_size))

    def last_cut(self, text: str) -> int:
        """Every character stands alone."""
        return len(text)

    def token(self, i: int) -> str:
        """The character with id `i`."""
        return self.characters[i]

    def to_json(self) -> dict:
        return {"minigpt": self.kind, "characters": self.characters}

    def to_hf(self) -> dict:
        """A word for each character, cut out one by one; none for unknown ones."""
        vocab = {c: i for i, c in enumerate(self.characters)}
        model = {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>", "minigpt": self.to_json()}
        return document(self, model, pre_tokenizer=split(r"[\s\S]", "Isolated"), decoder={"type": "Fuse"})

    @classmethod
    def from_json(cls, data: dict) -> CharTokenizer:
        characters = data["characters"]
        if not isinstance(characters, str):
            raise ValueError("its characters are not a text")
        check_utf8(characters)
        return cls(characters)
