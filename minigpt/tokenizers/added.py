"""Read the added tokens of tokenizer.json, and check what a file says of ids and texts."""

from __future__ import annotations

from collections.abc import Mapping

from minigpt.core.limits import TOKEN_ID
from minigpt.tokenizers.special import AddedToken


def is_id(i: object) -> bool:
    """Whether `i` can be the id of a token."""
    return type(i) is int and 0 <= i < TOKEN_ID


def check_utf8(text: str) -> None:
    """Raise ValueError if a text of a file has half of a surrogate pair in it, which UTF-8 cannot hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("one of its texts has half of a surrogate pair in it, which no text can contain") from None


def read_added(entries: list[dict], vocab: Mapping[str, int]) -> list[AddedToken]:
    """The added tokens. One that the vocabulary has too keeps the vocabulary's id; one without a name is none.

    Raises:
        ValueError, KeyError, TypeError: an entry is damaged.
    """
    found: dict[str, AddedToken] = {}
    for entry in entries:
        name, i = entry["content"], entry["id"]
        if not isinstance(name, str):
            raise ValueError("one of its added tokens has a name that is not a text")
        check_utf8(name)
        if not is_id(i):
            raise ValueError(f"its added token {name} has the id {i}, which cannot be right")
        flags = {flag: entry.get(flag, False) for flag in ("lstrip", "rstrip", "single_word", "normalized", "special")}
        if not all(isinstance(value, bool) for value in flags.values()):
            raise ValueError(f"its added token {name} has a property that is neither true nor false")
        if name:
            found[name] = AddedToken(vocab.get(name, i), name, **flags)
    seen: set[int] = set()
    for token in found.values():
        if token.id in seen:
            raise ValueError(f"its added token {token.content} has the id {token.id}, which cannot be right")
        seen.add(token.id)
    return list(found.values())
