"""BERT's basic tokenizer: clean a text, perhaps lower-case it, and cut it into words and punctuation marks.

Two sets of rules, which differ in rare characters: "google" is the tokenizer that BERT was released with, "hf" is
Hugging Face's (tokenizers 0.23), which most published models are used with.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from minigpt.tokenizers.aligned import Aligned
from minigpt.tokenizers.white_space import WHITE

RULES = ("hf", "google")

# CJK ideographs, each of which is a word of its own. Hugging Face's list has the sixth range begin at 2B920.
_CJK = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
_CJK_OTHER = {"google": (0x2B820, 0x2CEAF), "hf": (0x2B920, 0x2CEAF)}
_CONTROL = {"google": ("Cc", "Cf"), "hf": ("Cc", "Cf", "Cs", "Co")}
_OTHER_SPACES = "\u2028\u2029"  # white space that no Z* rule of the "google" list replaces, but that words end at


class BertWords:
    """The basic tokenizer.

    Args:
        lower: lower-case, and remove accents (the uncased models).
        rule: "google" or "hf"; the differences are control characters, one CJK range, Σ at the end of a word, and,
            where the text is not cleaned, U+001C to U+001F, which are white space to Python and not to Rust.
        strip_accents: None follows `lower`.
        split_cjk: make every CJK ideograph a word.
        clean: drop control characters and make all white space a space.
    """

    def __init__(
        self,
        lower: bool = True,
        rule: str = "hf",
        strip_accents: bool | None = None,
        split_cjk: bool = True,
        clean: bool = True,
    ):
        if rule not in RULES:
            raise ValueError(f"unknown rule {rule!r}: choose one of {', '.join(RULES)}")
        self.lower, self.rule, self.strip_accents = lower, rule, strip_accents
        self.split_cjk, self.clean = split_cjk, clean
        self._strips = lower if strip_accents is None else strip_accents
        self._change = lru_cache(maxsize=1 << 16)(self._changed)

    def words(self, text: str) -> list[str]:
        """The words of `text`, normalized."""
        text = self._normalize("".join(map(self._change, text)))
        if text.isascii() and (self.clean or self.rule == "google"):  # nothing that only Python counts as white space
            return text.translate(_SPACED).split()
        return [word for word, _, _ in self._cut(text)]

    def last_cut(self, text: str) -> int:
        """Where a text may be cut (see `streaming`): words end at a space and at a line feed under every rule."""
        return max(text.rfind(" "), text.rfind("\n"), 0)

    def words_with_spans(self, text: str) -> tuple[Aligned, list[tuple[str, int, int]]]:
        """The normalized text, aligned, and its words as (word, start, end) of that text."""
        aligned = Aligned.of(text).map(self._change)
        if self.rule == "google" and self.lower:
            aligned = aligned.lower()
        if self._strips:
            aligned = aligned.decompose().map(_without_accents)
        if self.rule == "hf" and self.lower:
            aligned = aligned.map(str.lower)
        return aligned, list(self._cut(aligned.text))

    def _normalize(self, text: str) -> str:
        if text.isascii():
            return text.lower() if self.lower else text
        if self.rule == "google" and self.lower:
            text = text.lower()
        if self._strips:
            text = "".join(map(_without_accents, unicodedata.normalize("NFD", text)))
        if self.rule == "hf" and self.lower:
            text = "".join(map(str.lower, text))
        return text

    def _changed(self, c: str) -> str:
        """One character after cleaning and the separation of ideographs."""
        if self.clean:
            if c in " \t\n\r":
                return " "
            if c in "\0\ufffd" or unicodedata.category(c) in _CONTROL[self.rule]:
                return ""
            if unicodedata.category(c) == "Zs" or (self.rule == "hf" and c in _OTHER_SPACES):
                return " "
        if self.split_cjk and self._is_cjk(ord(c)):
            return f" {c} "
        return c

    def _cut(self, text: str) -> Iterator[tuple[str, int, int]]:
        """Yield (word, start, end): words end at white space, and every punctuation mark is a word."""
        is_space = str.isspace if self.rule == "google" else WHITE.__contains__  # Python's, or Rust's
        start = 0
        for i, c in enumerate(text):
            space = is_space(c)
            if not space and not is_punctuation(c):
                continue
            if start < i:
                yield text[start:i], start, i
            if not space:
                yield c, i, i + 1
            start = i + 1
        if start < len(text):
            yield text[start:], start, len(text)

    def _is_cjk(self, code: int) -> bool:
        low, high = _CJK_OTHER[self.rule]
        return low <= code <= high or any(a <= code <= b for a, b in _CJK)


@lru_cache(maxsize=1 << 16)
def is_punctuation(c: str) -> bool:
    """ASCII's marks and symbols, and every character of a category P*."""
    if c.isascii():
        return 33 <= ord(c) < 127 and not c.isalnum()
    return unicodedata.category(c).startswith("P")


@lru_cache(maxsize=1 << 16)
def _without_accents(c: str) -> str:
    return "" if unicodedata.category(c) == "Mn" else c


_SPACED = {code: f" {chr(code)} " for code in range(33, 127) if is_punctuation(chr(code))}
