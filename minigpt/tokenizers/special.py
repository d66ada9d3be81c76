"""Special tokens: names such as <|endoftext|> that stand for one id and are cut out of a text before it is encoded.

Whether a name in a text means the token is a decision for each call, never a silent one: see `SpecialTokens.split`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from minigpt.errors import UserError
from minigpt.tokenizers.white_space import WHITE


class SpecialTokens:
    """The names and ids of a tokenizer's special tokens.

    `absorb_left` names the tokens that swallow the white space before them, as BART's and RoBERTa's `<mask>` does:
    the token then stands for a word together with the space in front of it.
    """

    def __init__(self, ids: Mapping[str, int], absorb_left: Collection[str] = ()):
        if "" in ids:
            raise UserError("a special token has an empty name")
        self.ids = dict(ids)
        self.absorb_left = frozenset(absorb_left)

    def select(self, names: Collection[str] | str) -> set[str]:
        """The set that `names` means: "all", or names that must be special tokens."""
        if names == "all":
            return set(self.ids)
        chosen = {names} if isinstance(names, str) else set(names)
        for name in sorted(chosen - set(self.ids)):
            known = ", ".join(self.ids) or "none"
            raise UserError(f"{name!r} is not a special token of this tokenizer (it has: {known})")
        return chosen

    def split(
        self, text: str, allowed: Collection[str] | str, forbidden: Collection[str] | str
    ) -> Iterator[tuple[int, int, int | None]]:
        """Cut `text` into (start, end, id) parts: an allowed special token's id, or None for text to encode.

        Where several names match, the longest wins. A name that is neither allowed nor forbidden is plain text.

        Raises:
            UserError: a forbidden name occurs in the text.
        """
        allowed = self.select(allowed)
        forbidden = self.select(forbidden) - allowed
        position = 0
        if allowed or forbidden:
            names = sorted(allowed | forbidden, key=len, reverse=True)
            for match in re.finditer("|".join(map(re.escape, names)), text):
                name, (start, end) = match[0], match.span()
                if name in forbidden:
                    raise UserError(
                        f"the text contains the special token {name} at position {start}: "
                        "allow it, ignore it, or remove it"
                    )
                if name in self.absorb_left:
                    while start > position and text[start - 1] in WHITE:
                        start -= 1
                if start > position:
                    yield position, start, None
                yield start, end, self.ids[name]
                position = end
        if position < len(text):
            yield position, len(text), None
