"""Special tokens: names such as <|endoftext|> that stand for one id and are cut out of a text before it is encoded.

Whether a name in a text means the token is a decision for each call, never a silent one: see `SpecialTokens.split`.
Only what a file calls an added token without calling it special (a word that a vocabulary got later) is always found.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import regex

from minigpt.core.errors import UserError
from minigpt.tokenizers.white_space import WHITE

Names = Collection[str] | str  # names of special tokens, one of them, or "all"
_SPACES = regex.compile(r"\s*")
_WORD = regex.compile(r"\w")  # Unicode's idea of a letter in a word, and above of white space, as Rust has them


@dataclass(frozen=True)
class AddedToken:
    """A token that is looked for in a text before the rest is encoded, as tokenizer.json lists it.

    Attributes:
        single_word: it is found only where no letter, digit or underscore touches it.
        lstrip, rstrip: it swallows the white space before or after it, as BART's and RoBERTa's `<mask>` does on its
            left: the token then stands for a word together with the space in front of it.
        normalized: it is looked for after the normalizer, in its normalized form.
        special: if it is not, it is found whatever the call says.
    """

    id: int
    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
    special: bool = True


class SpecialTokens:
    """A tokenizer's special tokens, by name."""

    def __init__(self, tokens: Iterable[AddedToken] = ()):
        self.tokens = {token.content: token for token in tokens}
        if "" in self.tokens:
            raise UserError("a special token has an empty name")
        self.ids = {name: token.id for name, token in self.tokens.items()}
        self.always = frozenset(name for name, token in self.tokens.items() if not token.special)

    @classmethod
    def of(cls, ids: Mapping[str, int], absorb_left: Collection[str] = ()) -> SpecialTokens:
        """Special tokens from names and ids; those in `absorb_left` swallow the white space before them."""
        return cls(AddedToken(i, name, lstrip=name in absorb_left) for name, i in ids.items())

    def select(self, names: Names) -> set[str]:
        """The set that `names` means: "all", or names that must be special tokens."""
        if names == "all":
            return set(self.ids)
        chosen = {names} if isinstance(names, str) else set(names)
        for name in sorted(chosen - set(self.ids)):
            known = ", ".join(self.ids) or "none"
            raise UserError(f"{name!r} is not a special token of this tokenizer (it has: {known})")
        return chosen

    def split(self, text: str, allowed: Names, forbidden: Names) -> Iterator[tuple[int, int, int | None]]:
        """Cut `text` into (start, end, id) parts: an allowed special token's id, or None for text to encode.

        Where several names match, the longest wins. A name that is neither allowed nor forbidden is plain text.

        Raises:
            UserError: a forbidden name occurs in the text.
        """
        allowed = self.select(allowed)
        forbidden = self.select(forbidden) - allowed
        allowed |= self.always - forbidden
        position = 0
        if allowed or forbidden:
            for match in _any_of(frozenset(self.ids if self.always else allowed | forbidden)).finditer(text):
                name, (start, end) = match[0], match.span()
                token = self.tokens[name]
                if name in forbidden:
                    raise UserError(
                        f"the text contains the special token {name} at position {start}: "
                        "allow it, ignore it, or remove it"
                    )
                if name not in allowed or (token.single_word and _touched(text, start, end)):
                    continue
                if token.lstrip:
                    start = position + len(text[position:start].rstrip(WHITE))
                if token.rstrip:
                    end = _SPACES.match(text, end).end()
                if start > position:
                    yield position, start, None
                yield start, end, token.id
                position = end
        if position < len(text):
            yield position, len(text), None


@lru_cache(maxsize=64)
def _any_of(names: frozenset[str]) -> re.Pattern[str]:
    """The names as one pattern, the longest first."""
    return re.compile("|".join(re.escape(n) for n in sorted(names, key=len, reverse=True)))


def _touched(text: str, start: int, end: int) -> bool:
    """Whether a letter of a word stands right before or after."""
    return bool((start and _WORD.match(text[start - 1])) or (end < len(text) and _WORD.match(text[end])))
