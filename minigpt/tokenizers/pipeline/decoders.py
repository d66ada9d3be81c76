"""From tokens back to a text: the decoders of tokenizer.json. Each makes new strings of the tokens' strings, which
come after its settings, and at the end all of them are joined.

Source: Hugging Face's tokenizers 0.23, whose results they give.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable

from minigpt.tokenizers.byte_alphabet import CHAR_TO_BYTE, from_mapped
from minigpt.tokenizers.pipeline.normalizers import Normalizer
from minigpt.tokenizers.pipeline.stretch import Stretch

Decoder = Callable[[list[str]], list[str]]
_BYTE = re.compile(r"<0x(\+[0-9A-Fa-f]|[0-9A-Fa-f]{2})>")


def byte_level(tokens: list[str]) -> list[str]:
    """Visible characters back to bytes; what has others stands for itself."""
    known = CHAR_TO_BYTE.keys()
    data = b"".join(from_mapped(t) if known >= set(t) else t.encode("utf-8") for t in tokens)
    return [data.decode("utf-8", errors="replace")]


def metaspace(replacement: str, scheme: str, tokens: list[str]) -> list[str]:
    """The visible character back to spaces; in the first token it vanishes if one may have been put in front."""
    gone = "" if scheme != "never" else " "
    return [t.replace(replacement, " " if n else gone) for n, t in enumerate(tokens)]


def word_piece(prefix: str, cleanup: bool, tokens: list[str]) -> list[str]:
    """Words with spaces between them; pieces that begin with the prefix continue the word before."""
    first, others = tokens[:1], tokens[1:]
    others = [t.removeprefix(prefix) if t.startswith(prefix) else f" {t}" for t in others]
    return [clean_up(t) if cleanup else t for t in (*first, *others)]


# What `cleanup` writes more tightly, one after the other.
_TIGHTER = [(" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m")]
_TIGHTER += [(" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re")]


def clean_up(text: str) -> str:
    """Without the spaces that English does not write, before punctuation for instance."""
    for loose, tight in _TIGHTER:
        text = text.replace(loose, tight)
    return text


def bpe(suffix: str, tokens: list[str]) -> list[str]:
    """The mark at the end of a word becomes a space, at the very end nothing."""
    last = len(tokens) - 1
    return [t.replace(suffix, "" if n == last else " ") for n, t in enumerate(tokens)]


def byte_fallback(tokens: list[str]) -> list[str]:
    """Tokens such as <0xE2> to bytes; a run of them that is not UTF-8 becomes as many U+FFFD."""
    done: list[str] = []
    for is_byte, group in itertools.groupby(tokens, key=_is_byte):
        some = list(group)
        done += _text_of(bytes(int(t[3:5], 16) for t in some)) if is_byte else some
    return done


def _is_byte(token: str) -> bool:
    return _BYTE.fullmatch(token) is not None


def _text_of(run: bytes) -> list[str]:
    try:
        return [run.decode("utf-8")]
    except UnicodeDecodeError:
        return ["\ufffd"] * len(run)


def fuse(tokens: list[str]) -> list[str]:
    """All strings become one."""
    return ["".join(tokens)]


def strip(content: str, start: int, stop: int, tokens: list[str]) -> list[str]:
    """Without up to `start` characters `content` at the beginning of each string, and up to `stop` at its end."""
    return [_stripped(t, content, start, stop) for t in tokens]


def _stripped(token: str, content: str, most: int, most_at_end: int) -> str:
    token = token[min(most, len(token) - len(token.lstrip(content))) :]
    return token[: max(len(token) - most_at_end, len(token.rstrip(content)))]


def normalize(step: Normalizer, tokens: list[str]) -> list[str]:
    """What a normalizer does, to each string."""
    return [step(Stretch(t)).text for t in tokens]


def one_by_one(steps: Iterable[Decoder], tokens: list[str]) -> list[str]:
    """One step after the other."""
    for step in steps:
        tokens = step(tokens)
    return tokens
