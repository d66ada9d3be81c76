"""The regular expressions that cut text into words before byte-level BPE, and their names.

They are those of the published vocabularies, written so that Python's `regex`, Hugging Face's Oniguruma and tiktoken
read them alike. Sources: GPT-2's encoder.py, Llama 3's tokenizer.py, tiktoken 0.14 (openai_public.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import regex

from minigpt.core.errors import UserError

_CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_PATTERN = (
    rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# As Llama 3's, but the white space at the end of a text is one word, line breaks or not.
CL100K_PATTERN = (
    rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?![\s\S])|\s*[\r\n]|\s+(?!\S)|\s"
)
# Words also end where small letters are followed by a capital one, and contractions stay with their words.
O200K_PATTERN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTION}?|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTION}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PATTERNS = {"gpt2": GPT2_PATTERN, "llama3": LLAMA3_PATTERN, "cl100k": CL100K_PATTERN, "o200k": O200K_PATTERN}


def ascii_form(pattern: str) -> str:
    """What one of these expressions that knows no more than letters and numbers is on ASCII text, for `re`, which
    matches it twice as fast as `regex`.
    """
    for name, characters in ((r"\p{L}", "a-zA-Z"), (r"\p{N}", "0-9")):
        parts = re.split(r"(\[[^]]*\])", pattern)  # every other one is a class
        inside = [part.replace(name, characters if i % 2 else f"[{characters}]") for i, part in enumerate(parts)]
        pattern = "".join(inside)
    return pattern


def resolve_pattern(pattern: str) -> str:
    """The regular expression that a user means: one of the names, or an expression of their own.

    Raises:
        UserError: it is empty, or looks like a name and is none.
    """
    if pattern in PATTERNS:
        return PATTERNS[pattern]
    if not pattern:
        raise UserError(f"the pattern is empty: name one of {', '.join(PATTERNS)}, or write a regular expression")
    if pattern.isalnum():
        raise UserError(f"there is no pattern called {pattern!r}: {', '.join(PATTERNS)}, or write a regex")
    return pattern


def how_to_name() -> str:
    """What to do about a file that does not say how text is cut: the end of an error's sentence."""
    return (
        f"name the pattern, {', '.join(PATTERNS)} or a regular expression: minigpt tokenizer convert FILE --pattern "
        "NAME writes a tokenizer.json that says it, tokenizers.load(FILE, pattern=NAME) opens it"
    )


def contradicting(pattern: str, tokens: Iterable[bytes]) -> list[str]:
    """The tokens made by merging that this pattern would always cut: no training with it can have made them.

    Tokens that are not UTF-8 by themselves, parts of characters, say nothing.
    """
    match, found = regex.compile(pattern).fullmatch, []
    for data in tokens:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if not match(text):
            found.append(text)
    return found
