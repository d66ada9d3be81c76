"""From tokens back to a text: the decoders of tokenizer.json. Each makes new strings of the tokens' strings.

Source: Hugging Face's tokenizers 0.23, whose results they give.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence as Sequential
from dataclasses import dataclass
from typing import Protocol

from minigpt.tokenizers.byte_alphabet import CHAR_TO_BYTE, from_mapped
from minigpt.tokenizers.pipeline.normalizers import Normalizer

_BYTE = re.compile(r"<0x(\+[0-9A-Fa-f]|[0-9A-Fa-f]{2})>")


class Decoder(Protocol):
    """A step from strings to strings; at the end all of them are joined."""

    def decode(self, tokens: list[str]) -> list[str]: ...


class ByteLevel:
    """Visible characters back to bytes; what has others stands for itself."""

    def decode(self, tokens: list[str]) -> list[str]:
        known = CHAR_TO_BYTE.keys()
        data = b"".join(from_mapped(t) if known >= set(t) else t.encode("utf-8") for t in tokens)
        return [data.decode("utf-8", errors="replace")]


@dataclass
class Metaspace:
    """The visible character back to spaces; in the first token it vanishes if one may have been put in front."""

    replacement: str = "▁"
    scheme: str = "always"

    def decode(self, tokens: list[str]) -> list[str]:
        gone = "" if self.scheme != "never" else " "
        return [t.replace(self.replacement, " " if n else gone) for n, t in enumerate(tokens)]


@dataclass
class WordPiece:
    """Words with spaces between them; pieces that begin with the prefix continue the word before."""

    prefix: str = "##"
    cleanup: bool = True

    def decode(self, tokens: list[str]) -> list[str]:
        first, others = tokens[:1], tokens[1:]
        others = [t.removeprefix(self.prefix) if t.startswith(self.prefix) else f" {t}" for t in others]
        return [clean_up(t) if self.cleanup else t for t in (*first, *others)]


# What `cleanup` writes more tightly, one after the other.
_TIGHTER = [(" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m")]
_TIGHTER += [(" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re")]


def clean_up(text: str) -> str:
    """Without the spaces that English does not write, before punctuation for instance."""
    for loose, tight in _TIGHTER:
        text = text.replace(loose, tight)
    return text


@dataclass
class BPEDecoder:
    """The mark at the end of a word becomes a space, at the very end nothing."""

    suffix: str = "</w>"

    def decode(self, tokens: list[str]) -> list[str]:
        last = len(tokens) - 1
        return [t.replace(self.suffix, "" if n == last else " ") for n, t in enumerate(tokens)]


class ByteFallback:
    """Tokens such as <0xE2> to bytes; a run of them that is not UTF-8 becomes as many U+FFFD."""

    def decode(self, tokens: list[str]) -> list[str]:
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


class Fuse:
    """All strings become one."""

    def decode(self, tokens: list[str]) -> list[str]:
        return ["".join(tokens)]


@dataclass
class Strip:
    """Take up to `start` characters `content` off the beginning of each string, and up to `stop` off its end."""

    content: str = " "
    start: int = 0
    stop: int = 0

    def decode(self, tokens: list[str]) -> list[str]:
        return [self._one(t) for t in tokens]

    def _one(self, token: str) -> str:
        start, end = 0, len(token)
        while start < min(self.start, len(token)) and token[start] == self.content:
            start += 1
        while len(token) - end < self.stop and end > start and token[end - 1] == self.content:
            end -= 1
        return token[start:end]


@dataclass
class Normalize:
    """What a normalizer does, to each string."""

    step: Normalizer

    def decode(self, tokens: list[str]) -> list[str]:
        return [self.step.text(t) for t in tokens]


@dataclass
class Sequence:
    """One step after the other."""

    steps: Sequential[Decoder]

    def decode(self, tokens: list[str]) -> list[str]:
        for step in self.steps:
            tokens = step.decode(tokens)
        return tokens
