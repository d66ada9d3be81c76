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
from itertools import chain, pairwise

import numpy as np
import regex

from minigpt.core.errors import UserError
from minigpt.tokenizers.base import last_match, utf8
from minigpt.tokenizers.oniguruma import bounded, pieces
from minigpt.tokenizers.patterns import CL100K_PATTERN, GPT2_PATTERN, LLAMA3_PATTERN, PATTERNS, ascii_form
from minigpt.tokenizers.stretches import PADDING, Stretches
from minigpt.tokenizers.white_space import WHITE
from minigpt.tokenizers.word_numbers import FULL, WordCounts, distinct

# With these patterns every pre-token that contains a space after something that is not white space begins at that
# space, so a text may be cut there and the parts be matched on their own. They match every character.
_CUT_AT_SPACES = frozenset({GPT2_PATTERN, LLAMA3_PATTERN, CL100K_PATTERN})

# Under every pattern with a name a pre-token ends before a space that follows something else, before white space that
# follows a letter or a digit, and after a line feed between something that is not white space and a letter or a digit.
_KNOWN = frozenset(PATTERNS.values())
_CUT = regex.compile(r"(?<=\S)(?= )|(?<=[\p{L}\p{N}])(?=\s)|(?<=\S\n)(?=[\p{L}\p{N}])", regex.REVERSE)

_IS_WHITE = np.isin(np.arange(256), [ord(c) for c in WHITE if c.isascii()])  # of a byte
_WIDE_WHITE = re.compile(b"|".join(c.encode() for c in WHITE if not c.isascii()))


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

    def chunks(self, text: str, each_line: bool = False) -> Stretches | None:
        """Cut `text` where every pre-token ends, so that equal chunks have equal pre-tokens; None if the pattern or the
        text, by a NUL, forbids it.

        Args:
            each_line: each line is a text of its own.
        """
        if not self.cuts_at_spaces or not text or "\0" in text:
            return None
        data = np.frombuffer(utf8(text) + bytes(PADDING), np.uint8)
        n = len(data) - PADDING
        white = _white(data[:n])
        # Of each byte but the first: whether it is white space, and whether that and a line feed stand before it.
        inside, before, line = white[1:], white[:-1], data[: n - 1] == ord("\n")
        if each_line:
            before = before & ~line
        cut = np.ones(n, bool)
        if self.pattern == GPT2_PATTERN:  # before the first and before the last of white space between other characters
            cut[1:] = inside & ~before
            cut[:-1] |= before & ~inside & (data[: n - 1] < 128)
        else:  # before a space behind another character, and behind a line feed before another character
            cut[1:] = ((data[1:n] == ord(" ")) & ~before) | (line & ~inside)
        if each_line:
            cut[1:] |= line
        start = np.flatnonzero(cut)
        return Stretches(data, start, np.diff(start, append=n))

    def cut_chunks(self, chunks: Stretches) -> tuple[Stretches, Stretches]:
        """The pre-tokens of chunks, by one search for most of them: those that begin with a space (or what GPT-2's
        pattern cuts before) and end otherwise are cut alike when they stand in a row.

        Returns:
            words: of all chunks.
            own: of each chunk the stretch of `words` (of their numbers) that it consists of.
        """
        data, start, size = chunks.joined()
        white = _white(data)
        first = white[start] if self.pattern == GPT2_PATTERN else data[start] == ord(" ")
        wide = np.maximum.reduceat(data, start) > 127  # most are ASCII: found twice as fast
        kind = np.where(white[start + size - 1] | ~first, 2, wide)
        order = np.argsort(kind, kind="stable")
        data, start, size = Stretches(data, start, size).some(order).joined(PADDING)
        stop = start + size
        places = np.searchsorted(kind[order], (1, 2))
        a, b = np.append(start, stop[-1])[places].tolist()
        plain, others = self.words(_text(data[:a])), self.words(_text(data[a:b]))
        for i in range(int(places[1]), len(kind)):
            others += self.words(_text(data[start[i] : stop[i]]))
        sizes = np.fromiter(chain(map(len, plain), map(len, map(str.encode, others))), np.int64)
        ends = sizes.cumsum()
        last = np.searchsorted(ends, stop, "right")
        own = Stretches(np.arange(len(sizes)), np.empty_like(start), np.empty_like(size))
        own.start[order], own.size[order] = np.append(0, last[:-1]), np.diff(last, prepend=0)
        return Stretches(data, ends - sizes, sizes), own

    def count(self, blocks: Iterable[str]) -> Counter[str]:
        """Count the pre-tokens of the lines of `blocks` (pieces of text that consist of whole lines)."""
        words: Counter[str] = Counter()
        chunks = WordCounts()
        for block in blocks:
            found = self.chunks(block, each_line=True)
            if found is None:
                for line in lines(block):
                    words.update(self.words(line))
                continue
            chunks.add(found)
            if chunks.bytes > FULL:
                self._count_words(chunks, words)
                chunks = WordCounts()
        self._count_words(chunks, words)
        return words

    def _count_words(self, chunks: WordCounts, words: Counter[str]) -> None:
        """Add the words of counted chunks."""
        different, counts = chunks.counted()
        if len(counts):
            found, own = self.cut_chunks(different)
            found, which = distinct(found)
            times = np.bincount(which[own.joined().items], np.repeat(counts, own.size)).astype(np.int64)
            data, start, _ = found.joined()
            text, edges = data.tobytes(), [*start.tolist(), len(data)]
            for (a, b), n in zip(pairwise(edges), times.tolist(), strict=True):
                words[text[a:b].decode()] += n


def _white(data: np.ndarray) -> np.ndarray:
    """Which bytes of a text are white space, or parts of it."""
    white = _IS_WHITE[data]
    if len(data) and data.max() > 127:
        for match in _WIDE_WHITE.finditer(data):
            white[match.start() : match.end()] = True
    return white


def _text(data: np.ndarray) -> str:
    return data.tobytes().decode("utf-8")


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
