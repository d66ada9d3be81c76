"""BERT's basic tokenizer: clean a text, perhaps lower-case it, and cut it into words and punctuation marks.

Two sets of rules, which differ in rare characters: "google" is the tokenizer that BERT was released with, "hf" is
Hugging Face's (tokenizers 0.23), which most published models are used with. What a punctuation mark is says the edition
of Unicode that the `regex` package knows (see `pretokens`).
"""

from __future__ import annotations

import string
import unicodedata
from dataclasses import dataclass
from functools import partial

import regex

from minigpt.tokenizers.pipeline import normalizers
from minigpt.tokenizers.pipeline.cutting import PUNCTUATION
from minigpt.tokenizers.pipeline.stretch import Stretch

RULES = ("hf", "google")

# CJK ideographs, each of which is a word of its own. Hugging Face's list has the sixth range begin at 2B920.
_CJK = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
_CJK_OTHER = {"google": (0x2B820, 0x2CEAF), "hf": (0x2B920, 0x2CEAF)}
_CONTROL = {"google": ("Cc", "Cf"), "hf": ("Cc", "Cf", "Cs", "Co")}
# Every punctuation mark is a word, and words end at white space: Rust's, or Python's.
_WORD = {
    rule: regex.compile(f"[{PUNCTUATION}]|[^{PUNCTUATION}{space}]+")
    for rule, space in (("hf", r"\s"), ("google", r"\s\x1c-\x1f"))
}
_SPACED = {ord(c): f" {c} " for c in string.punctuation}
_OTHER_SPACES = "\u2028\u2029"  # white space that no Z* rule of the "google" list replaces, but that words end at


@dataclass(eq=False)
class BertWords:
    """The basic tokenizer.

    Attributes:
        lower: lower-case, and remove accents (the uncased models).
        rule: "google" or "hf"; the differences are control characters, one CJK range, Σ at the end of a word, and,
            where the text is not cleaned, U+001C to U+001F, which are white space to Python and not to Rust.
        strip_accents: None follows `lower`.
        split_cjk: make every CJK ideograph a word.
        clean: drop control characters and make all white space a space.
    """

    lower: bool = True
    rule: str = "hf"
    strip_accents: bool | None = None
    split_cjk: bool = True
    clean: bool = True

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"unknown rule {self.rule!r}: choose one of {', '.join(RULES)}")
        self.normalizer = partial(normalizers.one_by_one, self._steps())
        self._word = _WORD[self.rule]

    def _steps(self) -> list[normalizers.Normalizer]:
        """What is done to a text before it is cut, one after the other."""
        strips = self.lower if self.strip_accents is None else self.strip_accents
        steps: list[normalizers.Normalizer] = [normalizers.PerCharacter(self._changed)]
        if self.lower and self.rule == "google":
            steps.append(normalizers.LOWER_IN_CONTEXT)
        if strips:
            steps += [partial(normalizers.unicode_form, "NFD"), normalizers.without("Mn")]
        if self.lower and self.rule == "hf":
            steps.append(normalizers.LOWERCASE)
        return steps

    def words(self, text: str) -> list[str]:
        """The words of `text`, normalized."""
        text = self.normalizer(Stretch(text)).text
        if text.isascii() and (self.clean or self.rule == "google"):  # nothing that only Python counts as white space
            return text.translate(_SPACED).split()
        return self._word.findall(text)

    def stretches(self, text: str) -> list[Stretch]:
        """The same words, whose characters know where in `text` they came from."""
        stretch = self.normalizer(Stretch.of(text))
        return [stretch.slice(*match.span()) for match in self._word.finditer(stretch.text)]

    def last_cut(self, text: str) -> int:
        """Where a text may be cut (see `streaming`): words end at a space and at a line feed under every rule."""
        return max(text.rfind(" "), text.rfind("\n"), 0)

    def to_json(self) -> tuple[dict, dict]:
        """The normalizer and the pre-tokenizer of a tokenizer.json, which follow the rule "hf"."""
        normalizer = {
            "type": "BertNormalizer",
            "clean_text": self.clean,
            "handle_chinese_chars": self.split_cjk,
            "strip_accents": self.strip_accents,
            "lowercase": self.lower,
        }
        return normalizer, {"type": "BertPreTokenizer"}

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

    def _is_cjk(self, code: int) -> bool:
        low, high = _CJK_OTHER[self.rule]
        return low <= code <= high or any(a <= code <= b for a, b in _CJK)
