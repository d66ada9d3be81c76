"""Cut a text into pre-tokens, the words that byte-level BPE never merges across.

The pattern is a regular expression; text that it leaves unmatched is a pre-token too, so nothing is lost. For the
patterns of GPT-2, Llama 3 and cl100k there is a fast path that cuts at spaces first, so that each distinct stretch of
text meets the regular expression only once; a test holds it to the plain one.

What counts as a letter or a number is what the `regex` package's edition of Unicode says. Another library with another
edition can cut differently at characters that were assigned in between, and nowhere else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import regex

from minigpt.core.errors import UserError
from minigpt.tokenizers.base import last_match
from minigpt.tokenizers.oniguruma import bounded, pieces
from minigpt.tokenizers.patterns import CL100K_PATTERN, GPT2_PATTERN, LLAMA3_PATTERN, PATTERNS, ascii_form
from minigpt.tokenizers.white_space import WHITE

# With these patterns every pre-token that contains a space after something that is not white space begins at that
# space, so a text may be cut there and the parts be matched on their own. They match every character.
_CUT_AT_SPACES = frozenset({GPT2_PATTERN, LLAMA3_PATTERN, CL100K_PATTERN})

# Under every pattern with a name a pre-token ends before a space that follows something else, before white space that
# follows a letter or a digit, and after a line feed between something that is not white space and a letter or a digit.
_KNOWN = frozenset(PATTERNS.values())
_CUT = regex.compile(r"(?<=\S)(?= )|(?<=[\p{L}\p{N}])(?=\s)|(?<=\S\n)(?=[\p{L}\p{N}])")

_WHITE = WHITE.replace(" ", "")
STICKY = "\0"  # stands for a space at which the text may not be cut
START = "\1"  # stands at the beginning of a chunk that has no space in front of it
LINE = "\2"  # the same for a chunk that has a line feed in front of it
_LINE_CUT = f"\n {START}"
_OPEN = [ord(c) for c in WHITE + STICKY]  # characters of white space, as chunks have them
_HELD = "\3"  # stands, while a text is cut, for a line feed at which it may not be


class PreTokenizer:
    """A pre-tokenization pattern, compiled.

    Raises:
        UserError: the pattern is not a regular expression that the `regex` module accepts.
    """

    def __init__(self, pattern: str = GPT2_PATTERN):
        self.pattern = pattern
        try:
            self._regex = bounded(pattern, pattern)
        except ValueError as error:
            raise UserError(f"the pre-tokenization pattern {pattern[:200]!r} is not valid: {error}") from None
        self.cuts_at_spaces = pattern in _CUT_AT_SPACES
        if self.cuts_at_spaces:
            self._ascii = re.compile(ascii_form(pattern), re.ASCII)

    def words(self, text: str) -> list[str]:
        """The pre-tokens of `text`, in order; joined they give it back. A UserError: this takes for ever."""
        if self.cuts_at_spaces:
            return (self._ascii if text.isascii() else self._regex).findall(text)
        return [text[start:end] for start, end, _ in pieces(self._regex, text) if start < end]

    def last_cut(self, text: str) -> int:
        """Where a text may be cut (see `streaming`). Of a pattern without a name nothing is known: nowhere."""
        return last_match(_CUT, text) if self.pattern in _KNOWN else 0

    def chunks(self, text: str) -> list[str] | None:
        """Cut `text` where that is harmless, or return None if the pattern or the text forbids it.

        The cuts are before a space that follows something else than white space, and at line feeds. `restore` brings a
        chunk's own text back: the space that it began with is cut off (`START` or `LINE` stand where there was none)
        and `STICKY` characters were spaces. All of it is str.replace and str.split, so it runs at memory speed.
        """
        if not self.cuts_at_spaces or _has_marks(text):
            return None
        white = [c for c in _WHITE if c in text]
        bound = _bind_spaces(START + text, white)
        return (_cut_before_lines if self.pattern == GPT2_PATTERN else _cut_behind_lines)(bound, white).split(" ")

    def chunk_words(self, chunk: str) -> list[str]:
        """The pre-tokens of a chunk. Letters with one other character after them, or none, need no regular expression:
        every pattern with chunks cuts them there and nowhere else.
        """
        if chunk.isascii():
            mark, body, space = chunk[:1], chunk, " "
            if mark in (START, LINE):
                body, space = chunk[1:], ""
            before = ["\n"] if mark == LINE else []
            if body.isalpha():
                return [*before, space + body]
            if body[:-1].isalpha():
                return [*before, space + body[:-1], body[-1]]
        return self.words(restore(chunk))

    def cut_chunks(self, chunks: list[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
        """`chunk_words` of many chunks, by one search for most of them: joined again, they are cut as they were before.
        Not so those that end in white space or begin where none was cut off.

        Returns:
            words: of all chunks.
            start, size: (chunks,) which of them are each chunk's own.
        """
        size = np.fromiter(map(len, chunks), np.int64, len(chunks))
        start = size.cumsum() - size + np.arange(1, len(chunks) + 1)
        points = np.frombuffer((" " + " ".join(chunks) + " ").encode("utf-32-le"), np.uint32)
        alone = np.isin(points[start + size - 1], _OPEN) | (points[start] == ord(START))
        kind = np.where(alone, 2, np.maximum.reduceat(points, start - 1) > 127)  # most are ASCII: found twice as fast
        own = size + (points[start] != ord(LINE))
        words: list[str] = []
        stops = [0]
        for some in (np.flatnonzero(kind == k) for k in (0, 1)):
            text = " ".join(["", *map(chunks.__getitem__, some.tolist())]).replace(" " + LINE, "\n")
            new = self.words(text.replace(STICKY, " "))
            ends = np.fromiter(map(len, new), np.int64, len(new)).cumsum()
            stops += (len(words) + np.searchsorted(ends, own[some].cumsum(), "right")).tolist()
            words += new
        for i in np.flatnonzero(alone).tolist():
            words += self.chunk_words(chunks[i])
            stops.append(len(words))
        order = np.argsort(kind, kind="stable")
        start[order], size[order] = stops[:-1], np.diff(stops)
        return words, start, size

    def count(self, blocks: Iterable[str]) -> Counter[str]:
        """Count the pre-tokens of the lines of `blocks` (pieces of text that consist of whole lines)."""
        words: Counter[str] = Counter()
        chunks: Counter[str] = Counter()
        for block in blocks:
            if not self.cuts_at_spaces or _has_marks(block):
                for line in lines(block):
                    words.update(self.words(line))
                continue
            chunks.update(self._line_chunks(block))
        for chunk, n in chunks.items():
            for word in self.chunk_words(chunk):
                words[word] += n
        return words

    def _line_chunks(self, block: str) -> list[str]:
        """Chunks such that no pre-token reaches over the end of a line: every line feed is a cut."""
        white = [c for c in _WHITE if c != "\n" and c in block]
        return _bind_spaces(START + block, white).replace("\n", _LINE_CUT).split(" ")


def _has_marks(text: str) -> bool:
    return any(mark in text for mark in (STICKY, START, LINE, _HELD))


def _bind_spaces(text: str, white: Iterable[str]) -> str:
    """Replace the spaces that follow a space or another character of `white` by STICKY."""
    text = text.replace("  ", " " + STICKY)
    for c in white:
        text = text.replace(c + " ", c + STICKY)
    return text.replace(STICKY + " ", STICKY + STICKY) if STICKY in text else text  # one character is found at once


def _cut_behind_lines(text: str, white: Iterable[str]) -> str:
    """Cut after a single line feed between two characters that are not white space: harmless under every pattern."""
    text = text.replace("\n", _LINE_CUT)
    for c in (*white, STICKY):  # no cut where white space follows the line feed,
        text = text.replace(f" {START}{c}", c)
    for c in (*white, STICKY, " "):  # nor where it precedes it
        text = text.replace(c + _LINE_CUT, c + "\n")
    return text


def _cut_before_lines(text: str, white: Iterable[str]) -> str:
    """Cut before line feeds that stand alone under GPT-2's pattern: the last before something that is not white space,
    and the one before that if it is the first white space. So a line's last word is a chunk that is met inside lines.

    Of more white space all but the last line feed is one token, held together here.
    """
    once, again = _HELD + "\n\n", _HELD * 2 + "\n"  # as replacements do not overlap, some are made twice
    text = text.replace("\n\n\n", again)
    if _HELD in text:
        for old, new in (("\n" + _HELD, _HELD * 2), (once, again), (once, again)):
            text = text.replace(old, new)
    others = [c for c in (*white, STICKY) if c != "\n" and c in text]
    for c in others:
        text = text.replace("\n\n" + c, _HELD * 2 + c).replace("\n" + c, _HELD + c)
    for c in (*others, " "):
        text = text.replace(c + "\n\n", c + _HELD + "\n")
    lines = text.rstrip("\n")
    text = lines + _HELD * (len(text) - len(lines))
    return text.replace("\n", f" {LINE}").replace(_HELD, "\n")


def restore(chunk: str) -> str:
    """The text of a chunk: with the space before it, or what its mark stands for."""
    chunk = chunk.replace(STICKY, " ")
    return {START: "", LINE: "\n"}[chunk[0]] + chunk[1:] if chunk[:1] in (START, LINE) else " " + chunk


def lines(text: str) -> Iterator[str]:
    """The lines of `text` with their endings. Only a line feed ends a line, as in Hugging Face's file reader."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def line_blocks(pieces: Iterable[str]) -> Iterator[str]:
    """Regroup pieces of a text so that each one consists of whole lines: where the pieces were cut does not matter."""
    carry: list[str] = []
    for piece in pieces:
        end = piece.rfind("\n") + 1
        if end:
            yield "".join([*carry, piece[:end]])
            carry = [piece[end:]] if end < len(piece) else []
        elif piece:
            carry.append(piece)
    if carry:
        yield "".join(carry)
