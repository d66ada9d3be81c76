"""What the parts of tokenizer.json have in common: steps in sequences, ids and texts that may be damaged; and how its
added tokens are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigpt.core.limits import TOKEN_ID
from minigpt.tokenizers.special import AddedToken

_DEEPEST = 60  # nested sequences; the parser of Hugging Face's tokenizers refuses more


def steps(part: Mapping[str, Any] | None, plural: str, depth: int = 0) -> list[Mapping[str, Any]]:
    """A part of a file as a list of steps, however deep its sequences are nested (to a limit)."""
    if part is None:
        return []
    if depth > _DEEPEST:
        raise ValueError(f"its {plural} are nested too deeply")
    if part["type"] != "Sequence":
        return [part]
    return [step for inner in part[plural] for step in steps(inner, plural, depth + 1)]


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
