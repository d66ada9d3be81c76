"""Regular expressions of tokenizer files, which are written for the library Oniguruma, for Python's `regex` module.

Both read nearly all of them alike; `translate` rewrites what they do not, or refuses it. A file comes from a stranger,
and a regular expression can take for ever, or all memory: its length is limited, how much it repeats (`parts`), and the
time that it may take on texts (`minigpt.core.limits`).
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from functools import lru_cache

import regex

from minigpt.core import limits
from minigpt.core.errors import UserError

# What stands for what outside of brackets. ^ and $ are the ends of lines.
_ESCAPES = {r"\z": r"\Z", r"\Z": r"(?=\n?\Z)", r"\h": "[0-9A-Fa-f]", r"\H": "[^0-9A-Fa-f]"}
_LINE_START, _LINE_END = r"(?:\A|(?<=\n)(?!\Z))", r"(?=\n|\Z)"
_REFUSED = frozenset({r"\g", r"\k", r"\K", r"\y", r"\Y", r"\O", r"\N", r"\G", r"\M", r"\C", r"\c"})
_TOKEN = regex.compile(
    r"\\[pP]\{[^}]*\}|\\x\{[0-9A-Fa-f]+\}|\\.|\(\?[a-z-]*[:)]|\(\?(?:~|R|&|P>|[+-]?\d)|\(\?|\[\[:\^?[a-z]+:\]|\[\^?\]?|\{\d*,?\d*\}\+?|.",
    regex.DOTALL,
)
_OTHER_GROUPS = regex.compile(r"\(\?(?:R|&|P>|[+-]?\d|[a-z-]*[befprvw][a-z-]*[:)])")


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> regex.Pattern[str]:
    """A pattern of a tokenizer file, ready to use.

    Raises:
        ValueError: it is not valid, too long, or uses something that means nothing to Python's `regex`.
    """
    return bounded(pattern, translate(pattern), regex.V1 if _nests(pattern) else regex.V0)


def bounded(pattern: str, translated: str, flags: int = regex.V0) -> regex.Pattern[str]:
    """A regular expression of `regex`, compiled if it is not too long and does not repeat too much.

    Raises:
        ValueError: it is not valid, or beyond the limits.
    """
    if len(pattern) > limits.PATTERN_CHARACTERS:
        raise ValueError(f"its regular expression has {len(pattern)} characters, which no honest one has")
    if parts(translated) > limits.PATTERN_PARTS:
        raise ValueError(f"its regular expression {pattern[:80]!r} repeats too much")
    try:
        return regex.compile(translated, flags)
    except (regex.error, RecursionError, OverflowError, MemoryError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"its regular expression {pattern[:80]!r} cannot be used: {error}") from None


def parts(pattern: str) -> float:
    """About how many characters and classes there are when repetitions are written out, as `regex` does.

    x{3,} is xxxx*, and x+ is xx*.

    Raises:
        ValueError: something is repeated more often than Oniguruma allows.
    """
    sizes, last, in_class = [0.0], 0.0, False  # of the groups that are open; of what a repetition would repeat
    for token in _TOKEN.findall(pattern):
        if in_class:
            in_class = token != "]"
        elif token.startswith("(") and not token.endswith(")"):
            sizes.append(0.0)
        elif token == ")" and len(sizes) > 1:
            last = sizes.pop() + 1
            sizes[-1] += last
        elif token == "+" or (token.startswith("{") and len(token) > 2):
            more = last * (_least(token) - 1)
            sizes[-1], last = sizes[-1] + more, last + more
        elif token not in ("*", "?", "|"):
            in_class, last = token.startswith("["), 1.0
            sizes[-1] += 1
    return sum(sizes)


def _least(token: str) -> int:
    """How many copies of something a repetition of it is compiled to."""
    if token == "+":
        return 2
    first, comma, last = token.rstrip("+}").lstrip("{").partition(",")
    counts = [int(count) for count in (first, last) if count and len(count) < 10]
    if any(len(count) > 9 for count in (first, last)) or max(counts, default=0) > limits.PATTERN_COUNT:
        raise ValueError(f"its regular expression repeats something more than {limits.PATTERN_COUNT} times")
    return max(int(first or 0) + bool(comma and not last), 1)


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
        if token in _REFUSED or token == "(?~" or _of_regex_alone(token):
            raise ValueError(f"its regular expression uses {token}, which minigpt does not do")
        if token == "{":  # of no repetition: `regex` would take {e<=1} for a fuzzy one
            atom = len(out)
            out.append(r"\{")
            continue
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


def _of_regex_alone(token: str) -> bool:
    """What `regex` has and Oniguruma refuses: patterns that call themselves, flags such as that of fuzzy matches."""
    return token in (r"\L", r"\m", r"\M") or bool(_OTHER_GROUPS.fullmatch(token))


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
    for start, end in _spans(pattern, text):
        if start == end == last:
            continue
        yield start, end
        last = end


_MOST_TIMES = 1000
_TIMES: dict[str, list[float]] = {}  # of each pattern: the characters that it was given, the seconds that it took


def _spans(pattern: regex.Pattern[str], text: str) -> list[tuple[int, int]]:
    """All matches, if the pattern has not used up its time: many short texts may not take for ever, either.

    `regex` counts what every thread of the process computes, so it is asked again until this thread has spent its time
    and half as much. A garbage collection, which takes half a second where there are millions of objects, has to wait.
    """
    if len(_TIMES) > _MOST_TIMES:
        _TIMES.clear()
    times = _TIMES.setdefault(pattern.pattern, [0.0, 0.0])
    times[0] += len(text)
    left = limits.PATTERN_SECONDS + limits.PATTERN_SECONDS_PER_CHARACTER * times[0] - times[1]
    allowed = min(left, limits.PATTERN_SECONDS + limits.PATTERN_SECONDS_PER_CHARACTER * len(text))
    collects, started = gc.isenabled(), time.thread_time()
    gc.disable()
    try:
        while allowed > 0 and time.thread_time() - started < 1.5 * allowed:
            try:
                return [match.span() for match in pattern.finditer(text, timeout=allowed)]
            except TimeoutError:
                continue
    except MemoryError:
        pass
    finally:
        times[1] += time.thread_time() - started
        if collects:
            gc.enable()
    raise UserError(f"the tokenizer's regular expression {pattern.pattern[:80]!r} takes too long on this text")


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
