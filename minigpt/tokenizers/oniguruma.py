"""Regular expressions of tokenizer files, which are written for the library Oniguruma, for Python's `regex` module.

Both read nearly all of them alike; `translate` rewrites what they do not, or refuses it. A file comes from a stranger,
and a regular expression can take for ever: its length is limited, and so is the time that it may take on a text.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import regex

from minigpt.core.errors import UserError

LONGEST = 20_000  # characters of a pattern
SECONDS, SECONDS_PER_CHARACTER = 10.0, 1e-4  # how long one may take on a text, far above what honest ones need

# What stands for what outside of brackets. ^ and $ are the ends of lines.
_ESCAPES = {r"\z": r"\Z", r"\Z": r"(?=\n?\Z)", r"\h": "[0-9A-Fa-f]", r"\H": "[^0-9A-Fa-f]"}
_LINE_START, _LINE_END = r"(?:\A|(?<=\n)(?!\Z))", r"(?=\n|\Z)"
_REFUSED = frozenset({r"\g", r"\k", r"\K", r"\y", r"\Y", r"\O", r"\N", r"\G", r"\M", r"\C", r"\c"})
_TOKEN = regex.compile(
    r"\\[pP]\{[^}]*\}|\\x\{[0-9A-Fa-f]+\}|\\.|\(\?[a-z-]+[:)]|\(\?~|\(\?|\[\[:\^?[a-z]+:\]|\[\^?\]?|\{\d*,?\d*\}\+?|.",
    regex.DOTALL,
)


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> regex.Pattern[str]:
    """A pattern of a tokenizer file, ready to use.

    Raises:
        ValueError: it is not valid, too long, or uses something that means nothing to Python's `regex`.
    """
    if len(pattern) > LONGEST:
        raise ValueError(f"its regular expression has {len(pattern)} characters, which no honest one has")
    try:
        return regex.compile(translate(pattern), regex.V1 if _nests(pattern) else regex.V0)
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"its regular expression {pattern[:80]!r} cannot be used: {error}") from None


def translate(pattern: str) -> str:
    """`pattern` in the language of `regex`; the same text if both read it alike."""
    out: list[str] = []
    opened: list[int] = []  # where in `out` each open group begins
    atom = depth = 0  # where the last atom begins; brackets inside brackets
    for token in _TOKEN.findall(pattern):
        if depth:
            depth += token.startswith("[") and not token.startswith("[:")
            depth -= token == "]"
            out.append({r"\h": "0-9A-Fa-f"}.get(token, token))
            if token in (r"\H", r"\z", r"\Z") or token in _REFUSED:
                raise ValueError(f"its regular expression uses {token} inside brackets, which minigpt does not do")
            continue
        if token in _REFUSED or token == "(?~":
            raise ValueError(f"its regular expression uses {token}, which minigpt does not do")
        if token.startswith("{") and token.endswith("}+"):  # a repetition of a repetition, nothing possessive
            out[atom] = "(?:" + out[atom]
            out.append(f"{token[:-1]})+")
            continue
        if token.startswith("{") or token in ("*", "+", "?", "|"):
            out.append(token)
            continue
        if token == ")" and opened:
            out.append(token)
            atom = opened.pop()
            continue
        atom = len(out)
        if token.startswith("(") and not token.endswith(")"):
            opened.append(atom)
        depth += token.startswith("[")
        out.append(_outside(token))
    return "".join(out)


def _outside(token: str) -> str:
    """One token that stands outside of brackets."""
    if token in _ESCAPES:
        return _ESCAPES[token]
    if token.startswith("(?") and token[2:3].isalpha():
        return token.replace("m", "s")  # Oniguruma's "multiline" is what others call "dot matches all"
    if token.startswith(r"\x{"):
        return regex.escape(chr(int(token[3:-1], 16)))
    return {"^": _LINE_START, "$": _LINE_END}.get(token, token)


def _nests(pattern: str) -> bool:
    """Whether brackets stand inside brackets (and not those of [:names:])."""
    depth = 0
    for token in _TOKEN.findall(pattern):
        if depth and token.startswith("[") and not token.startswith("[["):
            return True
        depth = 1 if token.startswith("[") else 0 if token == "]" else depth
    return False


def portable(pattern: str) -> bool:
    """Whether both libraries read the pattern alike."""
    try:
        return translate(pattern) == pattern and not _nests(pattern)
    except ValueError:
        return False


def matches(pattern: regex.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    """The (start, end) of the matches. An empty one is none where the last one ended, nor in an empty text.

    Raises:
        UserError: the pattern takes too long.
    """
    last = -1
    if not text:
        return
    try:
        for match in pattern.finditer(text, timeout=SECONDS + SECONDS_PER_CHARACTER * len(text)):
            start, end = match.span()
            if start == end == last:
                continue
            yield start, end
            last = end
    except TimeoutError:
        raise UserError(
            f"the tokenizer's regular expression {pattern.pattern[:80]!r} takes too long on this text"
        ) from None


def pieces(pattern: regex.Pattern[str], text: str, invert: bool = False) -> list[tuple[int, int, bool]]:
    """The text as (start, end, whether it is a match); `invert` takes what is left unmatched for the matches.

    Raises:
        UserError: the pattern takes too long.
    """
    found: list[tuple[int, int, bool]] = []
    position = 0
    for start, end in matches(pattern, text):
        if position < start:
            found.append((position, start, invert))
        found.append((start, end, not invert))
        position = end
    if position < len(text):
        found.append((position, len(text), invert))
    return found
