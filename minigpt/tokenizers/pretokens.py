"""Cut a text into pre-tokens, the words that byte-level BPE never merges across.

The pattern is a regular expression; text that it leaves unmatched is a pre-token too, so nothing is lost. For the
patterns of GPT-2, Llama 3 and cl100k there is a fast path that cuts at spaces first, so that each distinct stretch of
text meets the regular expression only once; a test holds it to the plain one.

What counts as a letter or a number is what the `regex` package's edition of Unicode says. Another library with another
edition can cut differently at characters that were assigned in between, and nowhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import regex

from minigpt.core.errors import UserError
from minigpt.tokenizers.base import last_match
from minigpt.tokenizers.oniguruma import bounded, pieces
from minigpt.tokenizers.patterns import CL100K_PATTERN, GPT2_PATTERN, LLAMA3_PATTERN, PATTERNS
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
LINE = "\1"  # stands at the beginning of a chunk that has no space in front of it
_LINE_CUT = f"\n {LINE}"


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

    def words(self, text: str) -> list[str]:
        """The pre-tokens of `text`, in order; joined they give it back. A UserError: this takes for ever."""
        if self.cuts_at_spaces:
            return self._regex.findall(text)
        return [text[start:end] for start, end, _ in pieces(self._regex, text) if start < end]

    def last_cut(self, text: str) -> int:
        """Where a text may be cut (see `streaming`). Of a pattern without a name nothing is known: nowhere."""
        return last_match(_CUT, text) if self.pattern in _KNOWN else 0

    def chunks(self, text: str) -> list[str] | None:
        """Cut `text` where that is harmless, or return None if the pattern or the text forbids it.

        The cuts are before a space that follows something else than white space, and after a single line feed between
        two such things. `restore` brings a chunk's own text back: the space that it began with is cut off (`LINE`
        stands where there was none) and `STICKY` characters were spaces. All of it is str.replace and str.split,
        so it runs at memory speed.
        """
        if not self.cuts_at_spaces or STICKY in text or LINE in text:
            return None
        white = [c for c in _WHITE if c in text]
        text = _bind_spaces(LINE + text, white)
        text = text.replace("\n", _LINE_CUT)
        for c in (*white, STICKY):  # no cut where white space follows the line feed,
            text = text.replace(f" {LINE}{c}", c)
        for c in (*white, STICKY, " "):  # nor where it precedes it
            text = text.replace(c + _LINE_CUT, c + "\n")
        return text.split(" ")

    def chunk_words(self, chunk: str) -> list[str]:
        """The pre-tokens of a chunk. Letters with one other character after them, or none, need no regular expression:
        every pattern with chunks cuts them there and nowhere else.
        """
        if chunk.isascii():
            start, body = ("", chunk[1:]) if chunk[:1] == LINE else (" ", chunk)
            if body.isalpha():
                return [start + body]
            if body[:-1].isalpha():
                return [start + body[:-1], body[-1]]
        return self._regex.findall(restore(chunk))

    def count(self, blocks: Iterable[str]) -> Counter[str]:
        """Count the pre-tokens of the lines of `blocks` (pieces of text that consist of whole lines)."""
        words: Counter[str] = Counter()
        chunks: Counter[str] = Counter()
        for block in blocks:
            if not self.cuts_at_spaces or STICKY in block or LINE in block:
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
        return _bind_spaces(LINE + block, white).replace("\n", _LINE_CUT).split(" ")


def _bind_spaces(text: str, white: Iterable[str]) -> str:
    """Replace the spaces that follow a space or another character of `white` by STICKY."""
    text = text.replace("  ", " " + STICKY)
    for c in white:
        text = text.replace(c + " ", c + STICKY)
    return text.replace(STICKY + " ", STICKY + STICKY)


def restore(chunk: str) -> str:
    """The text of a chunk that had a space (or, marked by `LINE`, the beginning of a line) before it."""
    chunk = chunk.replace(STICKY, " ")
    return chunk[1:] if chunk.startswith(LINE) else " " + chunk


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
